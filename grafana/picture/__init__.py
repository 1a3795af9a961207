"""Dashboards as pictures, where no Grafana can be had: the same grid, queries, units and thresholds, on a Prometheus's data.

`kinds` draws one panel of each kind, `graphs` those with an axis of time, `marks` and `numbers` are what they are made of, and
`page` lays them out. `python -m grafana.picture --help` makes them from a running Prometheus. They show what stands where and
whether it can be read; they are no copy of Grafana's looks.
"""
