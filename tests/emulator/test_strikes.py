"""What befalls connections: at each point the right ones, so often as was said, and nothing once the world is healed."""

from collections.abc import Sequence
from typing import Any

import dns.message
import msgspec
import pytest
import trio

from tests.emulator.test_dialogue import HEAD, codes, office
from workers.emulator.behaviour import Offers
from workers.emulator.dialogue import Dialogue, Held, Message
from workers.emulator.internet import Internet, emulate
from workers.emulator.requests import answer
from workers.emulator.strikes import Does, Point, Strike, Strikes
from workers.emulator.visit import Office, Visit
from workers.emulator.world import WorldOptions, build

CALM = WorldOptions(troubles=0.0, small_domains=24)
HELLO = b"EHLO out.example\r\n"
LETTER = b"Subject: Hello\r\n\r\nText\r\n.\r\n"


def struck(*strikes: Strike) -> tuple[Office, Dialogue]:
    """A receiver under these strikes, and a connection that has been greeted if they let it."""
    at = office()
    at.strikes.add(strikes)
    dialogue = Dialogue(Visit(at, source="127.0.0.9", host="mx.here.example"))
    return at, dialogue


def talk(dialogue: Dialogue, *parts: bytes) -> list[str]:
    """All replies to these octets, none of them held up."""
    assert dialogue.open(0.0) == []
    for part in parts:
        assert all(isinstance(event, Message) for event in dialogue.receive(part, 0.0))
    return codes(dialogue.take_output())


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("greeting", ["450", "250", "250", "250", "354", "250"]),
        ("ehlo", ["220", "450", "503", "503", "503"]),
        ("mail", ["220", "250", "450", "503", "503"]),
        ("rcpt", ["220", "250", "250", "450", "503"]),
        ("data", ["220", "250", "250", "250", "450"]),
        ("dot", ["220", "250", "250", "250", "354", "450"]),
        ("taken", ["220", "250", "250", "250", "354", "450"]),
    ],
)
def test_another_reply_is_said_and_the_dialogue_follows_from_it(point: str, said: list[str]) -> None:
    at, dialogue = struck(Strike(point=Point(point), says="450 4.3.0 Not now"))
    accepted = "354" in said
    assert talk(dialogue, HELLO, HEAD % b"joe", *([LETTER] if accepted else [])) == said
    assert at.counts.accepted == (point in ("greeting", "taken"))


def test_one_that_is_held_gets_what_was_due_before_and_goes_on_where_it_was() -> None:
    at, dialogue = struck(Strike(point=Point.TAKEN, does=Does.HOLD))
    assert dialogue.open(0.0) == []
    [message, held] = dialogue.receive(HELLO + HEAD % b"joe" + LETTER + HEAD % b"ann", 0.0)
    assert isinstance(message, Message)
    assert isinstance(held, Held)
    assert codes(held.before) == ["220", "250", "250", "250", "354"]
    assert at.counts.accepted == 1
    assert dialogue.receive(LETTER, 0.0) == []  # read, and not looked at
    [second, again] = dialogue.resume(0.0)
    assert isinstance(second, Message)
    assert isinstance(again, Held)
    assert codes(again.before) == ["250", "250", "250", "354"]
    assert dialogue.resume(0.0) == []
    assert codes(dialogue.take_output()) == ["250"]


def test_a_message_that_is_held_at_its_dot_is_taken_only_afterwards() -> None:
    at, dialogue = struck(Strike(point=Point.DOT, does=Does.WAIT, wait_s=1.0))
    dialogue.open(0.0)
    [held] = dialogue.receive(HELLO + HEAD % b"joe" + LETTER, 0.0)
    assert isinstance(held, Held)
    assert at.counts.accepted == 0
    [message] = dialogue.resume(5.0)
    assert isinstance(message, Message)
    assert message.taken.at == 5.0


@pytest.mark.parametrize(
    "data", [HEAD % b"joe" + b"Subject: ", HEAD.replace(b"DATA\r\n", b"BDAT 30 LAST\r\n") % b"joe" + b"Subject: "]
)
def test_content_is_struck_once_while_it_comes(data: bytes) -> None:
    at = office(offers=Offers(chunking=True))
    at.strikes.add([Strike(point=Point.CONTENT, does=Does.HOLD)])
    dialogue = Dialogue(Visit(at, source="127.0.0.9", host="mx.here.example"))
    dialogue.open(0.0)
    dialogue.receive(HELLO, 0.0)
    assert [type(event) for event in dialogue.receive(data, 0.0)] == [Held]
    assert dialogue.resume(0.0) == []
    assert dialogue.receive(b"more", 0.0) == []


def names(strikes: Strikes, point: Point, *whom: Sequence[str]) -> list[list[str]]:
    for recipients in whom:
        strikes.at(point, "mx1.here.example", recipients)
    return strikes.met()


def test_only_those_that_match_are_struck_and_no_more_than_was_said() -> None:
    strikes = Strikes()
    strikes.add(
        [
            Strike(point=Point.RCPT, to="doubt-*", skip=1, times=2),
            Strike(point=Point.RCPT, host="*.elsewhere.example"),
            Strike(point=Point.RCPT, host="mx?.here.example", times=1),
        ]
    )
    people = [["doubt-1@a.example"], ["joe@a.example"], *([f"doubt-{number}@a.example"] for number in range(2, 6))]
    met = names(strikes, Point.RCPT, *people)
    assert met == [["doubt-2@a.example", "doubt-3@a.example"], [], ["doubt-1@a.example"]]
    assert names(strikes, Point.MAIL, []) == met
    strikes.heal()
    assert strikes.met() == []
    assert strikes.at(Point.RCPT, "mx1.here.example", ["doubt-9@a.example"]) is None


@pytest.mark.parametrize("says", ["what", "25 ok", "250ok"])
def test_what_is_no_reply_can_not_be_said(says: str) -> None:
    with pytest.raises(ValueError, match="can't be said"):
        Strike(point=Point.MAIL, says=says)
    with pytest.raises(ValueError, match="can't be said"):
        Strike(point=Point.CONTENT, says="250 Ok")


async def ask(internet: Internet, request: dict[str, Any]) -> dict[str, Any]:
    return await answer(internet, msgspec.json.encode(request))


async def test_each_deed_does_to_a_real_connection_what_it_says() -> None:
    async with emulate(build(CALM)) as internet:

        async def greeted(does: str, within_s: float = 60.0, **more: Any) -> bytes:
            await ask(internet, {"ask": "strike", "strikes": [{"point": "greeting", "does": does, **more}]})
            try:
                async with await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as stream:
                    with trio.move_on_after(within_s):
                        return bytes(await stream.receive_some())
            except trio.BrokenResourceError:
                return b"reset"
            finally:
                await ask(internet, {"ask": "heal"})
            return b"nothing"

        assert await greeted("close") == b""
        assert await greeted("reset") == b"reset"
        assert await greeted("hold", 0.3) == b"nothing"
        assert await greeted("deaf", 0.3) == b"nothing"
        assert await greeted("silence", 0.3) == b"nothing"
        assert (await greeted("wait", wait_s=0.05)).startswith(b"220 ")
        assert (await greeted("nothing", says="421 4.3.2 Busy")).startswith(b"421 4.3.2 Busy")


async def test_who_is_held_goes_on_when_the_world_is_healed_and_who_has_gone_is_let_go() -> None:
    async with emulate(build(CALM)) as internet:
        await ask(internet, {"ask": "strike", "strikes": [{"point": "ehlo", "does": "hold"}]})
        async with (
            await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as stays,
            await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as goes,
        ):
            for stream in (stays, goes):
                assert (await stream.receive_some()).startswith(b"220 ")
                await stream.send_all(HELLO)
            while (await ask(internet, {"ask": "met"}))["met"] != [["gmail-smtp-in.l.google.com"] * 2]:
                await trio.lowlevel.checkpoint()
            await goes.aclose()
            while (await ask(internet, {"ask": "met"}))["open"] != 1:
                await trio.lowlevel.checkpoint()
            await ask(internet, {"ask": "heal"})
            assert (await stays.receive_some()).startswith(b"250-")


async def test_a_door_that_is_shut_refuses_and_opens_again() -> None:
    async with emulate(build(CALM)) as internet:
        async with await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as inside:
            assert (await inside.receive_some()).startswith(b"220 ")
            await ask(internet, {"ask": "shut", "hosts": "gmail-*"})
            with pytest.raises(OSError, match=r"refused|all attempts"):
                await trio.open_tcp_stream("127.77.1.1", internet.smtp_port)
            await inside.send_all(HELLO)  # who is inside stays
            assert (await inside.receive_some()).startswith(b"250-")
            async with await trio.open_tcp_stream("127.77.1.2", internet.smtp_port) as another:
                assert (await another.receive_some()).startswith(b"220 ")
        for _ in range(2):  # opening an open door changes nothing
            await ask(internet, {"ask": "open", "hosts": "*"})
        async with await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as back:
            assert (await back.receive_some()).startswith(b"220 ")


async def test_the_dns_fails_for_every_name_until_it_is_healed_and_a_domain_can_move() -> None:
    world = build(CALM)
    internet = Internet(world, world.zone())

    def hosts() -> list[str]:
        response = internet.zone.answer(dns.message.make_query("shop-0001.example", "MX"))
        assert response is not None
        return [record.to_text() for rrset in response.answer for record in rrset]

    before = hosts()
    await ask(internet, {"ask": "names", "fault": "servfail"})
    assert hosts() == []
    await ask(internet, {"ask": "heal"})
    assert hosts() == before == ["10 mx1.smallhost-1.example.", "20 mx2.smallhost-1.example."]
    await ask(internet, {"ask": "move", "domain": "shop-0001.example", "to": "smallhost-2"})
    assert hosts() == ["10 mx1.smallhost-2.example.", "20 mx2.smallhost-2.example."]
    assert "shop-0001.example" in internet.office("smallhost-2").domains
    assert "shop-0001.example" not in internet.office("smallhost-1").domains


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"ask": "strike", "strikes": [{"point": "nowhere"}]}, "nowhere"),
        ({"ask": "strike", "strikes": [{"point": "mail", "colour": "red"}]}, "colour"),
        ({"ask": "strike"}, "strikes"),
        ({"ask": "names", "fault": "moody"}, "MOODY"),
        ({"ask": "move", "domain": "a.example", "to": "nobody"}, "nobody"),
        ({"ask": "dance"}, "known: stats, settle"),
    ],
)
async def test_a_request_that_can_not_be_done_is_answered_with_the_reason(request_: dict[str, Any], why: str) -> None:
    world = build(CALM)
    assert why in (await ask(Internet(world, world.zone()), request_))["error"]
