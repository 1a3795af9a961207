"""The processes themselves: which version runs, how late its event loop is, its journal, what it asks of the store."""

from collections.abc import Mapping

from sender.metrics.families import Families, Label

_ROLES = "delivery, expander, scheduler, consumer"
_EVERY = f"{_ROLES}, supervisor"
# A loop that has time is late by less than a millisecond; one that is late by more than 20 ms keeps receivers waiting.
_LAG_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 5.0)
# From a batch on a socket of this host to one that is given up; above 0.1 s lanes wait for their work.
_STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Processes:
    """Shows a process as its operator sees it."""

    def declare_processes(self, families: Families) -> None:
        self._build = families.snapshot(
            "penstock_build_info", "1, by the version that runs.", Label("version", "that of the package"), by=_EVERY
        )
        self._restarts = families.counter(
            "penstock_process_restarts_total",
            "Times the supervisor of a host has started a process again, because it had died or hung.",
            Label("child", "its role: delivery expander scheduler consumer signer"),
            by="supervisor",
        )
        self._lag = families.histogram(
            "penstock_loop_lag_duration_seconds",
            "How late the event loop woke a task that had slept for a moment.",
            _LAG_BUCKETS,
            by=_ROLES,
        )
        self._journal = families.snapshot(
            "penstock_journal_healthy",
            "1 where the journal can be written; 0: nothing is leased and nothing goes out.",
            by="delivery",
        )
        self._keys = families.snapshot(
            "penstock_dkim_key_created_timestamp_seconds",
            "When the file of a DKIM key was last written: its modification time. Only of files that the process may look at.",
            Label("domain", "a sending identity of `penstock.toml`"),
            Label("selector", "one of its selectors"),
            by="scheduler",
        )
        calls = families.tally(
            "penstock_store_calls_total",
            "Calls to the store, each a batch of commands.",
            Label("outcome", "done; failed: no answer, or one of the commands was refused"),
            by=_ROLES,
        )
        self._calls = {True: calls["done",], False: calls["failed",]}
        self._call_seconds = families.histogram(
            "penstock_store_call_duration_seconds",
            "Time until the store had answered such a call or it failed, including the wait for a connection.",
            _STORE_BUCKETS,
            by=_ROLES,
        )

    def build(self, version: str) -> None:
        """This version runs."""
        self._build.show({(version,): 1})

    def supervised(self, role: str) -> None:
        """There are processes of this role, and their counter with them: one that begins with its first increase shows none."""
        self._restarts[(role,)].inc(0)

    def restarted(self, role: str) -> None:
        """A process of this role was started again."""
        self._restarts[(role,)].inc()

    def loop_lag(self, seconds: float) -> None:
        """The event loop woke a task so much later than it had asked for."""
        self._lag.observe(seconds)

    def journal(self, *, healthy: bool) -> None:
        """Whether the journal can be written."""
        self._journal.show({(): healthy})

    def dkim_keys(self, created: Mapping[tuple[str, str], float]) -> None:
        """When the key files were written, Unix seconds, by domain and selector."""
        self._keys.show({(domain, selector): at for (domain, selector), at in created.items()})

    def store_call(self, done: bool, seconds: float) -> None:
        """The store was called: whether it did what it was asked, and how long that took."""
        self._calls[done].inc()
        self._call_seconds.observe(seconds)
