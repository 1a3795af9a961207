"""The spool between receivers and judges: bounded, and it loses nothing."""

import trio
from trio.testing import wait_all_tasks_blocked

from tests.emulator.test_verifier import MESSAGE_TEXT, Signer
from workers.emulator.ledger import Judged, Ledger, Taken
from workers.emulator.spool import Spool
from workers.emulator.zone import Zone


def taken(serial: int) -> Taken:
    return Taken(
        serial=serial,
        receiver="here",
        host="mx.here.example",
        source="127.0.0.9",
        mail_from="",
        recipients=("joe@here.example",),
        message_id="",
        octets=0,
        tls=False,
        at=0.0,
    )


async def test_a_full_spool_holds_back_until_a_judge_makes_room() -> None:
    signer, zone = Signer(), Zone()
    for name, text in signer.texts.items():
        zone.add(name, "TXT", text)
    entries: list[Taken | Judged] = []
    content = signer.sign(MESSAGE_TEXT)
    spool = Spool(Ledger(entries.append), zone, octets=len(content) + 1)
    put: list[int] = []

    async def fill() -> None:
        for serial in (1, 2, 3):
            await spool.put(taken(serial), content)
            put.append(serial)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill)
        await wait_all_tasks_blocked()
        assert put == [1]
        assert repr(spool) == f"<Spool waiting=1 octets={len(content)} unjudged=1>"
        with trio.fail_after(30):
            nursery.start_soon(spool.run)
            while len(entries) < 3:
                await wait_all_tasks_blocked(0.01)
            await spool.settled()
        nursery.cancel_scope.cancel()
    assert put == [1, 2, 3]
    assert [entry.signatures for entry in entries if isinstance(entry, Judged)] == [("pass shop.example",)] * 3


async def test_with_nothing_spooled_it_is_settled() -> None:
    await Spool(Ledger(lambda entry: None), Zone()).settled()
