"""What operators look at in Grafana, as code.

`dashboards` says what is shown and why; `python -m grafana.dashboards` writes it to `json/`, which Grafana loads as
`provisioning/` tells it. A test holds that the two agree. Nothing here travels in the wheel, and nothing of the engine
imports it: all that it knows of the engine are the names of its metrics.
"""
