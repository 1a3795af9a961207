"""What lanes lean on: signers and DNS."""

from sender.metrics.families import Families, Label

# A micro-batch of RSA-2048 takes a few milliseconds; a signer that takes five seconds is replaced.
_SIGNING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_DNS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


class Services:
    """Counts what was asked of signers and DNS."""

    def declare_services(self, families: Families) -> None:
        self._signatures = families.counter(
            "penstock_signatures_total",
            "DKIM signatures asked of the signers.",
            Label("outcome", "signed failed"),
            by="delivery",
        )
        self._signing = families.histogram(
            "penstock_signing_duration_seconds",
            "Time until a micro-batch of signatures came back.",
            _SIGNING_BUCKETS,
            by="delivery",
        )
        self._waiting = families.snapshot(
            "penstock_signer_waiting", "Digests that wait until a signer of the host has room for them.", by="delivery"
        )
        self._declare_dns(families)

    def _declare_dns(self, families: Families) -> None:
        by = "delivery, expander"
        self._dns_queries = families.counter(
            "penstock_dns_queries_total",
            "DNS questions that left this process.",
            Label("outcome", "answer; none: no such domain or record; failed: timeout, SERVFAIL or a broken answer"),
            by=by,
        )
        self._dns_lookups = families.counter(
            "penstock_dns_lookups_total",
            "Look-ups in the DNS cache.",
            Label("result", "hit miss; stale: the resolver was down and an expired answer served"),
            by=by,
        )
        self._dns_seconds = families.histogram(
            "penstock_dns_query_duration_seconds",
            "Time until a DNS question was answered or given up.",
            _DNS_BUCKETS,
            by=by,
        )

    def signed(self, count: int, seconds: float) -> None:
        """A micro-batch of signatures came back after so long."""
        self._signatures[("signed",)].inc(count)
        self._signing.observe(seconds)

    def signing_failed(self, count: int) -> None:
        """So many signatures could not be had."""
        self._signatures[("failed",)].inc(count)

    def signer_waiting(self, digests: int) -> None:
        """So many digests wait for a signer."""
        self._waiting.show({(): digests})

    def dns_query(self, outcome: str, seconds: float) -> None:
        """A DNS question ended after so long: "answer", "none" or "failed"."""
        self._dns_queries[(outcome,)].inc()
        self._dns_seconds.observe(seconds)

    def dns_lookup(self, result: str) -> None:
        """The DNS cache was asked: "hit", "miss" or "stale"."""
        self._dns_lookups[(result,)].inc()
