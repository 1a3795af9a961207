"""`penstock plan`, in parts: who is on the list (`census`), what that comes to for people, scripts and eyes.

Recipients -> `census` -> counts by receiver -> `sender.planning` -> Scenario -> `sender.policy.forecast` -> Forecast
Forecast -> `view` (tables), `document` (JSON), `chart` (SVG)
"""
