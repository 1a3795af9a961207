"""Sessions as they open and close, and what lanes may do: told about once a second, never for a message."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sender.metrics.families import OTHER, RECEIVER, SOURCE, Families, Label
from sender.metrics.tally import Snapshot

_TLS_VERSIONS = ("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1")
_BY = "delivery"


@dataclass(slots=True, kw_only=True)
class LaneFigures:
    """One lane now; or, added up, several that share their labels."""

    running: int = 0
    paused: int = 0
    connections_allowed: int = 0
    messages_per_second: float = 0.0  # infinity: nothing but the receiver holds it


class Lanes:
    """Shows sessions, and lanes as they stand."""

    def declare_lanes(self, families: Families) -> None:
        self._receivers = families.receivers
        self._open = families.level("penstock_sessions_open", "SMTP connections that are open now.", SOURCE, RECEIVER, by=_BY)
        self._opened = families.counter(
            "penstock_sessions_total",
            "SMTP connections that became ready to send, by TLS version.",
            RECEIVER,
            Label("tls", " ".join((*_TLS_VERSIONS, "none"))),
            by=_BY,
        )
        self._failed = families.counter(
            "penstock_session_failures_total",
            "SMTP connections that failed or could not be opened.",
            RECEIVER,
            Label(
                "kind",
                "refused timeout closed reset unreachable tls forbidden resources; reply: the receiver turned us away in words;"
                " protocol: it broke the protocol",
            ),
            by=_BY,
        )

        def lane(name: str, text: str) -> Snapshot:
            return families.snapshot(f"penstock_{name}", text, SOURCE, RECEIVER, by=_BY)

        self._running = lane("lanes_running", "Lanes that run now.")
        self._paused = lane("lanes_paused", "Lanes that a rule has paused, those included that have ended and wait it out.")
        self._allowed = lane("lane_connections_allowed", "Connections that lanes may have now: the window; 0 in a pause.")
        self._rate = lane(
            "lane_messages_per_second", "Messages a second that lanes may send: the pace; 0 in a pause, +Inf: any."
        )
        self._lane_holds = families.snapshot(
            "penstock_lane_holds",
            "Lanes that operators hold: 1 for each word in force.",
            Label("source", f"{SOURCE.values}; `*`: all"),
            Label("receiver", f"{RECEIVER.values}; `*`: all"),
            by="scheduler",
        )

    def session_opened(self, source: str, receiver: str, tls: str) -> None:
        """A session became ready; `tls` is the version as `ssl` names it, "" without TLS. `session_closed` must follow."""
        self._open[source, receiver].inc()
        self._opened[receiver, tls if tls in _TLS_VERSIONS else "none"].inc()

    def session_closed(self, source: str, receiver: str) -> None:
        """A session that was ready is gone, for whatever reason."""
        self._open[source, receiver].dec()

    def session_failed(self, receiver: str, kind: str) -> None:
        """A session failed, or could not be opened: `kind` is a TransportKind, "reply" or "protocol"."""
        self._failed[receiver, kind].inc()

    def lanes(self, figures: Mapping[tuple[str, str], LaneFigures]) -> None:
        """All lanes of this process as they stand, by source and receiver label; those that are not named are gone."""
        summed = self._receivers.summed
        self._running.show(summed({key: each.running for key, each in figures.items()}))
        self._paused.show(summed({key: each.paused for key, each in figures.items()}))
        self._allowed.show(summed({key: each.connections_allowed for key, each in figures.items()}))
        self._rate.show(summed({key: each.messages_per_second for key, each in figures.items()}))

    def lane_holds(self, holds: Collection[tuple[str, str]]) -> None:
        """The lanes that are held now, by source and receiver label; "*" is all of them."""
        self._lane_holds.show({(source, OTHER if receiver.startswith("~") else receiver): 1 for source, receiver in holds})
