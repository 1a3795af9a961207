"""Composing and signing in batches: one question a batch, and nothing unsigned ever comes out."""

import pytest
import trio

from sender.content.compose import Composer
from sender.content.token import TokenKeys
from sender.errors import SigningError
from sender.metrics import Metrics
from sender.preparation import Preparer
from tests.holding import campaign, held
from tests.rig import EPOCH, KEY, SPEC, Pen

STALE = type(KEY)(domain="shop.example", selector="old", algorithm=KEY.algorithm, not_after=EPOCH - 1)


class Refusing(Pen):
    """Refuses every second message's signature."""

    async def attempt(self, requests: object) -> list[bytes | SigningError]:
        assert isinstance(requests, list)
        await trio.lowlevel.checkpoint()
        return [SigningError("no") if place % 2 else bytes(64) for place in range(len(requests))]


def preparer(pen: Pen) -> Preparer:
    return Preparer(Composer(TokenKeys({"a": bytes(32)})), pen, Metrics(), lambda: EPOCH)


async def test_a_batch_is_composed_and_signed_in_order() -> None:
    pen = Pen()
    several = held(3)
    batch = await preparer(pen).prepare(several)
    assert (batch.unusable, batch.unsigned, pen.signed) == ([], [], 3)
    assert [transaction.tag for transaction in batch.transactions] == several
    for number, transaction in enumerate(batch.transactions):
        assert transaction.rcpt == f"r{number}@big.example"
        assert transaction.mail_from.endswith("@shop.example")
        assert transaction.content.startswith(b"DKIM-Signature: ")
        assert b"Dear Ann" in transaction.content
        assert transaction.content.endswith(b"\r\n")


async def test_one_that_can_t_be_made_leaves_the_others_alone() -> None:
    several = held(3)
    several[1].envelope.fields = {}
    batch = await preparer(Pen()).prepare(several)
    assert [transaction.tag for transaction in batch.transactions] == [several[0], several[2]]
    ((one, why),) = batch.unusable
    assert one is several[1]
    assert "first" in str(why)


async def test_what_could_not_be_signed_does_not_come_out() -> None:
    several = held(4)
    batch = await preparer(Refusing()).prepare(several)
    assert [transaction.tag for transaction in batch.transactions] == [several[0], several[2]]
    assert [one for one, _ in batch.unsigned] == [several[1], several[3]]
    assert all(b"DKIM-Signature" in transaction.content for transaction in batch.transactions)


async def test_without_a_key_of_today_nothing_comes_out() -> None:
    batch = await preparer(Pen()).prepare(held(2, of=campaign(keys=(STALE,))))
    assert batch.transactions == []
    assert len(batch.unsigned) == 2


async def test_only_an_identity_without_keys_leaves_unsigned() -> None:
    """The configuration says so: a relay behind us signs."""
    pen = Pen()
    batch = await preparer(pen).prepare(held(2, of=campaign(keys=())))
    assert len(batch.transactions) == 2
    assert pen.signed == 0
    assert b"DKIM-Signature" not in batch.transactions[0].content


async def test_two_keys_make_two_signatures_of_one_question() -> None:
    pen = Pen()
    second = type(KEY)(domain="other.example", selector="s2", algorithm=KEY.algorithm)
    batch = await preparer(pen).prepare(held(2, of=campaign(keys=(KEY, second))))
    assert pen.signed == 4
    assert [transaction.content.count(b"DKIM-Signature: ") for transaction in batch.transactions] == [2, 2]


@pytest.mark.parametrize("fails", [True, False])
async def test_each_envelope_is_in_exactly_one_list(fails: bool) -> None:
    pen = Pen()
    pen.fails = fails
    several = held(8)
    several[5].envelope.fields = {}
    batch = await preparer(pen).prepare(several)
    out = [transaction.tag for transaction in batch.transactions]
    out += [one for one, _ in batch.unusable] + [one for one, _ in batch.unsigned]
    assert sorted(map(id, out)) == sorted(map(id, several))


async def test_messages_that_wait_have_the_campaign_s_octets_in_common() -> None:
    """A thousand sessions with two messages each would hold 20 MB of 10 kB messages otherwise."""
    spec = SPEC | {"text": "Dear {{ first }},\n" + "the same for everybody\n" * 500}
    batch = await preparer(Pen()).prepare(held(100, of=campaign(spec=spec)))
    common = {id(piece): len(piece) for transaction in batch.transactions for piece in transaction.body}
    own = sum(len(transaction.head) for transaction in batch.transactions)
    assert {len(transaction.content) > 10_000 for transaction in batch.transactions} == {True}
    assert sum(common.values()) < 15_000
    assert own < 100 * 1_500
