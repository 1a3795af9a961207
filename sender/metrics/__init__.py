"""Every metric the engine has, by rooms:

    deliveries   what became of envelopes and attempts; how long receivers took
    lanes        sessions, and what lanes may do
    depth        what waits in the queue; the store
    campaigns    what was submitted; where campaigns stand
    warmups      stages, caps and gates
    services     signers and DNS
    consumers    who follows the events
    processes    versions, the event loop, the journal, calls to the store

One `Metrics` per process, on a registry of its own or the caller's, never the library's global one. Its methods are named
after what happened; callers hold no metric objects. To add one: declare it in its room, with the values of its labels and the
roles that tell it (`families`), and a method that says what happened.

Metrics end in their unit, counters in `_total`; times are seconds.
"""

from prometheus_client import CollectorRegistry

from sender.metrics.campaigns import CAMPAIGNS_SHOWN, Campaigns
from sender.metrics.consumers import Consumers
from sender.metrics.deliveries import Deliveries
from sender.metrics.depth import Depth
from sender.metrics.families import OTHER, RECEIVERS_KEPT, Families
from sender.metrics.lanes import LaneFigures, Lanes
from sender.metrics.processes import Processes
from sender.metrics.services import Services
from sender.metrics.warmups import WarmupFigures, Warmups

__all__ = ["CAMPAIGNS_SHOWN", "OTHER", "RECEIVERS_KEPT", "LaneFigures", "Metrics", "WarmupFigures"]


class Metrics(Deliveries, Lanes, Depth, Campaigns, Warmups, Services, Consumers, Processes):
    """What one process counts. What happens to every message is told by the event loop's thread alone, the rest by any."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        families = Families(self.registry)
        self.declare_deliveries(families)
        self.declare_lanes(families)
        self.declare_depth(families)
        self.declare_campaigns(families)
        self.declare_warmups(families)
        self.declare_services(families)
        self.declare_consumers(families)
        self.declare_processes(families)
        self.declared, self.exposition = tuple(families.declared), families.exposition
