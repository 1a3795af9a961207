from sender.metrics import Metrics


def test_campaigns_are_shown_as_long_as_they_are_among_those_that_moved_last() -> None:
    metrics = Metrics()
    metrics.campaigns({"spring": {"open": 3, "delivered": 7}, "summer": {"open": 1}})
    metrics.campaigns({"spring": {"open": 2, "delivered": 8}})

    def shown(campaign: str, state: str) -> float | None:
        return metrics.registry.get_sample_value("penstock_campaign_envelopes", {"campaign": campaign, "state": state})

    assert (shown("spring", "open"), shown("spring", "delivered")) == (2, 8)
    assert shown("summer", "open") is None


def test_what_came_in_and_what_became_of_it() -> None:
    metrics = Metrics()
    metrics.submitted(5)
    metrics.expanded("invalid", 3)
    metrics.expanded("queued", 2)
    metrics.inbox_refused("campaign")
    value = metrics.registry.get_sample_value
    assert value("penstock_submitted_recipients_total") == 5
    assert value("penstock_expanded_recipients_total", {"outcome": "invalid"}) == 3
    assert value("penstock_inbox_refused_total", {"what": "campaign"}) == 1
