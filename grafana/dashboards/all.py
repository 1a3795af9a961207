"""All dashboards, and the files they are."""

from pathlib import Path

from grafana.dashboards.campaign import campaign
from grafana.dashboards.engine import engine
from grafana.dashboards.fleet import fleet
from grafana.dashboards.frame import encoded
from grafana.dashboards.receiver import receiver
from grafana.dashboards.warmup import warmup

JSON = Path(__file__).parent.parent / "json"
DASHBOARDS = (fleet, receiver, warmup, campaign, engine)


def files() -> dict[str, str]:
    """What each dashboard's file is called, after its function, and what is to stand in it."""
    return {f"{each.__name__}.json": encoded(each()) for each in DASHBOARDS}
