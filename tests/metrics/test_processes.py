from sender.metrics import Metrics


def test_what_was_not_told_is_not_shown() -> None:
    """A 0 that nobody has measured would look like a journal that is broken."""
    value = Metrics().registry.get_sample_value
    for name in ("journal_healthy", "signer_waiting", "build_info", "queue_dead_entries"):
        assert value(f"penstock_{name}") is None


def test_the_journal_and_the_signers() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.journal(healthy=True)
    metrics.signer_waiting(7)
    assert (value("penstock_journal_healthy"), value("penstock_signer_waiting")) == (1, 7)
    metrics.journal(healthy=False)
    assert value("penstock_journal_healthy") == 0


def test_versions_and_keys() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.build("1.2.3")
    metrics.dkim_keys({("shop.example", "s2026"): 1_700_000_000.0, ("shop.example", "old"): 1.0})
    metrics.dkim_keys({("shop.example", "s2026"): 1_700_000_000.0})
    assert value("penstock_build_info", {"version": "1.2.3"}) == 1
    name = "penstock_dkim_key_created_timestamp_seconds"
    assert value(name, {"domain": "shop.example", "selector": "s2026"}) == 1_700_000_000.0
    assert value(name, {"domain": "shop.example", "selector": "old"}) is None


def test_restarts_begin_at_nought_for_each_role_there_is() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.supervised("signer")
    metrics.supervised("delivery")
    metrics.restarted("signer")
    found = [value("penstock_process_restarts_total", {"child": role}) for role in ("signer", "delivery", "consumer")]
    assert found == [1, 0, None]


def test_calls_to_the_store_by_how_they_ended() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    assert value("penstock_store_calls_total", {"outcome": "failed"}) == 0
    metrics.store_call(True, 0.002)
    metrics.store_call(True, 0.2)
    metrics.store_call(False, 5.0)
    assert value("penstock_store_calls_total", {"outcome": "done"}) == 2
    assert value("penstock_store_calls_total", {"outcome": "failed"}) == 1
    assert value("penstock_store_call_duration_seconds_bucket", {"le": "0.0025"}) == 1
    assert value("penstock_store_call_duration_seconds_count") == 3
