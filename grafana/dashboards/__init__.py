"""The dashboards' source, in the order in which one asks: what is wrong, where, since when.

`fleet` leads to the others. Each of them is one file: a function that returns a dashboard, top row first. `frame` is
what all share (variables, links, annotations), `panels` the few kinds of panel, `promql` what their queries are made of.

All is in Grafana's classic schema, which 9 to 13 load alike: the second one is a preview below 13. The SDK says at its import
that it would rather have the second; pyproject.toml has pytest bear that.
"""
