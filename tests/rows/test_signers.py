"""Without a signature nothing leaves: signers that fail, hang or do not load their keys only cost time."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.errors import ConfigErrors, SigningError
from sender.model import State
from sender.net.signing import LocalSigner
from sender.outbox import open_outbox
from tests.rows.town import DOMAIN, SPEC, town


@pytest.mark.row("F43")
@pytest.mark.row("F44")
async def test_mail_whose_signature_does_not_come_waits_and_leaves_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answers are errors, as when signers die or hang; every second one of a batch, so that its fellows go on."""
    failures = 0
    sign = LocalSigner.attempt

    async def sometimes(self: LocalSigner, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        nonlocal failures
        answers = await sign(self, requests)
        if failures >= 20:
            return answers
        failures += len(answers[::2])
        return [SigningError("no signature within 5 s") if n % 2 == 0 else answer for n, answer in enumerate(answers)]

    monkeypatch.setattr(LocalSigner, "attempt", sometimes)
    async with town(tmp_path) as here:
        rows = [{"to": f"r{number}@{DOMAIN}"} for number in range(30)]
        assert await here.post(rows) == {State.DELIVERED: 30}
        assert failures >= 20
        assert sorted(copy.rcpt for copy in here.mx.copies) == sorted(row["to"] for row in rows)
        assert all(here.verified(copy) for copy in here.mx.copies)
    assert {attempt.held.envelope.attempts for attempt in here.attempts} == {0}, "waiting for a signature is no attempt"


@pytest.mark.row("S31")
@pytest.mark.parametrize("harm", ["0644", "0640", "broken", "missing"])
async def test_a_key_that_must_not_be_used_keeps_everything_from_being_sent(harm: str, tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        path = tmp_path / "s1.pem"
        if harm == "missing":
            path.unlink()
        elif harm == "broken":
            path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        else:
            path.chmod(int(harm, 8))
        with pytest.raises(ConfigErrors) as caught:
            async with open_outbox(here.settings, here.around) as outbox:
                await outbox.send("spring", SPEC, [{"to": f"ann@{DOMAIN}"}])
        assert str(path) in str(caught.value)
        assert here.mx.connections == 0


@pytest.mark.row("S31")
async def test_nothing_of_a_key_is_in_errors_attempts_or_metrics(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        secret = (tmp_path / "s1.pem").read_text().splitlines()[1]
        await here.post([{"to": f"ann@{DOMAIN}"}, {"to": "x@evil.example"}])
        shown = repr(here.attempts) + repr(here.settings) + repr(here.around)
    assert secret not in shown
    assert secret not in repr(generate(Algorithm.RSA, tmp_path / "other.pem"))
