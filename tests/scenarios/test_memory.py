"""What millions of queued recipients take of the store's memory, through the real commands and processes."""

import pytest

from tests.bench.intake import measure

pytestmark = pytest.mark.integration

OCTETS_MOST = 60  # an envelope with three short merge fields, all included: 600 MB for 10 million


@pytest.mark.parametrize("recipients", [100_000, pytest.param(10_000_000, marks=pytest.mark.long)])
async def test_a_queued_envelope_takes_few_octets_of_the_store(recipients: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "")  # `measure` sets it: put back what was there
    intake = await measure(recipients)
    for what, figure in intake.figures().items():
        print(f"{what}: {figure}")
    assert intake.store <= OCTETS_MOST * recipients
