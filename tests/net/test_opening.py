"""Opening a session: which hosts and addresses are tried, in which order, how often, and what is remembered of them."""

import socket
from contextlib import AsyncExitStack
from random import Random

import pytest
import trio
import trio.testing

from sender.errors import TransportKind
from sender.model import Destination, MxHost, Source, Step, TlsPolicy
from sender.net.dial import is_own
from sender.net.opening import in_order, open_session
from sender.net.session import Failure, Session, SessionOptions
from tests.net.dnsserver import dns_server
from tests.net.smtpserver import Receiver, close, hang, receiver, then_close
from tests.net.world import DEADLINES, SOURCE, Work, World, message

OPTIONS = SessionOptions(deadlines=DEADLINES, tls=TlsPolicy.OFF)


def test_hosts_go_by_preference_and_equal_ones_in_turn() -> None:
    hosts = tuple(MxHost(name=name, preference=preference) for name, preference in (("a", 1), ("b", 1), ("c", 1), ("z", 9)))
    rng = Random(7)
    orders = [[host.name for host in in_order(Destination(hosts=hosts), rng)] for _ in range(200)]
    assert all(order[-1] == "z" for order in orders)
    assert {tuple(order[:3]) for order in orders} == {
        (first, second, third) for first in "abc" for second in "abc" for third in "abc" if len({first, second, third}) == 3
    }


async def test_null_mx_is_a_failure_without_a_connection() -> None:
    async with dns_server() as dns, receiver() as mx, World(dns, mx.port) as world:
        opened = await open_session(world.network, SOURCE, Destination(hosts=()), OPTIONS)
    assert isinstance(opened, Failure)
    assert "null MX" in str(opened)
    assert not mx.connections


@pytest.mark.parametrize("refusal", [b"554 5.7.1 not you\r\n", b"421 4.3.2 busy\r\n", b"450 later\r\n"])
async def test_a_greeting_that_refuses_moves_on_to_the_next_host(refusal: bytes) -> None:
    async with (
        dns_server("mx1.test. 300 A 127.0.0.1", "mx2.test. 300 A 127.0.0.2") as dns,
        receiver() as first,
        receiver(address="127.0.0.2", port=first.port) as second,
        World(dns, first.port) as world,
    ):
        first.plan("GREETING", then_close(refusal))
        session = await world.session(OPTIONS, "mx1.test", "mx2.test")
        assert session.peer.host == "mx2.test"
        second.plan("GREETING", then_close(b"554 5.7.1 nor you\r\n"))
        first.plan("GREETING", then_close(refusal))
        failure = await world.failure(OPTIONS, "mx1.test", "mx2.test")
    assert str(failure) == "mx2.test[127.0.0.2] GREETING: 554 5.7.1 nor you"


async def test_a_refusal_in_words_outweighs_a_host_that_is_down() -> None:
    async with (
        dns_server("mx1.test. 300 A 127.0.0.1", "mx2.test. 300 A 127.0.0.9") as dns,
        receiver() as mx,
        World(dns, mx.port) as world,
    ):
        mx.plan("GREETING", then_close(b"554 5.7.1 blocked\r\n"))
        failure = await world.failure(OPTIONS, "mx1.test", "mx2.test")
    assert failure.reply is not None
    assert failure.reply.code == 554


async def test_ehlo_refused_for_good_moves_on() -> None:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        mx.plan("EHLO", b"550 5.7.1 bad name\r\n")
        mx.plan("HELO", b"550 5.7.1 bad name\r\n")
        failure = await world.failure(OPTIONS)
    assert str(failure) == "mx.test[127.0.0.1] EHLO: 550 5.7.1 bad name"


@pytest.mark.row("F35")
async def test_a_closed_port_is_dead_for_a_while_and_the_next_host_serves() -> None:
    async with (
        dns_server("mx1.test. 300 A 127.0.0.3", "mx2.test. 300 A 127.0.0.1") as dns,
        receiver() as mx,
        World(dns, mx.port) as world,
    ):
        session = await world.session(OPTIONS, "mx1.test", "mx2.test")
        assert session.peer.host == "mx2.test"
        assert world.hosts.is_dead("127.0.0.1", "127.0.0.3", trio.current_time())
        assert not world.hosts.is_dead("127.0.0.1", "127.0.0.1", trio.current_time())
        connects = [step for step, _ in world.waits].count(Step.CONNECT)
        await world.session(OPTIONS, "mx1.test", "mx2.test")
        assert [step for step, _ in world.waits].count(Step.CONNECT) == connects + 1


@pytest.mark.parametrize("behaviour", [hang, close], ids=["silent", "closes"])
@pytest.mark.row("F35")
async def test_no_greeting_is_as_dead_as_no_connection(behaviour: object, patient_clock: trio.testing.MockClock) -> None:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        assert callable(behaviour)
        mx.plan("GREETING", behaviour)
        failure = await world.failure(OPTIONS)
        assert failure.step is Step.GREETING
        assert failure.kind in (TransportKind.TIMEOUT, TransportKind.CLOSED)
        assert world.hosts.is_dead("127.0.0.1", "127.0.0.1", trio.current_time())


async def test_where_all_are_dead_one_is_tried_nevertheless() -> None:
    async with (
        dns_server("mx1.test. 300 A 127.0.0.1", "mx2.test. 300 A 127.0.0.2") as dns,
        receiver() as mx,
        World(dns, mx.port) as world,
    ):
        for address in ("127.0.0.1", "127.0.0.2"):
            world.hosts.note_dead("127.0.0.1", address, trio.current_time())
        session = await world.session(OPTIONS, "mx1.test", "mx2.test")
        assert session.peer.address == "127.0.0.1"
        assert not world.hosts.is_dead("127.0.0.1", "127.0.0.1", trio.current_time())


@pytest.mark.row("F35")
async def test_a_black_hole_costs_the_connect_deadline_and_no_more(patient_clock: trio.testing.MockClock) -> None:
    full = socket.create_server(("127.0.0.4", 0), backlog=0)
    port = full.getsockname()[1]
    async with AsyncExitStack() as stack:
        fillers = [stack.enter_context(socket.socket()) for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.4", port))
        dns = await stack.enter_async_context(dns_server("mx.test. 300 A 127.0.0.4"))
        world = await stack.enter_async_context(World(dns, port))
        began = trio.current_time()
        failure = await world.failure(OPTIONS)
        assert 29.9 < trio.current_time() - began < 30.5
    full.close()
    assert (failure.step, failure.kind) == (Step.CONNECT, TransportKind.TIMEOUT)
    assert "no answer in 30 s" in str(failure)


@pytest.mark.row("S12")
async def test_five_connections_are_tried_and_no_more() -> None:
    records = [f"mx{number}.test. 300 A 127.0.1.{number}" for number in range(1, 30)]
    async with dns_server(*records) as dns, receiver() as mx, World(dns, mx.port) as world:
        await world.failure(OPTIONS, *(f"mx{number}.test" for number in range(1, 30)))
        dead = [n for n in range(1, 30) if world.hosts.is_dead("127.0.0.1", f"127.0.1.{n}", trio.current_time())]
    assert dead == [1, 2, 3, 4, 5]
    assert sum(count for name, count in dns.queries.items() if name.startswith("A ")) == 5


@pytest.mark.row("S12")
async def test_many_addresses_of_one_host_count_the_same() -> None:
    records = [f"mx.test. 300 A 127.0.1.{number}" for number in range(1, 30)]
    async with dns_server(*records) as dns, receiver() as mx, World(dns, mx.port) as world:
        await world.failure(OPTIONS)
        dead = [n for n in range(1, 30) if world.hosts.is_dead("127.0.0.1", f"127.0.1.{n}", trio.current_time())]
    assert len(dead) == 5


@pytest.mark.row("S10")
async def test_a_forbidden_address_is_never_connected_to_and_not_called_dead() -> None:
    async with dns_server("mx.test. 300 A 10.0.0.1", "mx.test. 300 A 169.254.169.254") as dns, receiver() as mx:
        async with World(dns, mx.port) as world:
            failure = await world.failure(OPTIONS)
        assert failure.kind is TransportKind.FORBIDDEN
        assert "is forbidden" in str(failure)
        assert not world.hosts.is_dead("127.0.0.1", "10.0.0.1", trio.current_time())


async def test_the_address_connected_to_is_the_one_that_was_judged() -> None:
    """The name changes its address between two sessions; each connects where its own answer led, or not at all."""
    async with dns_server("mx.test. 0 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        session = await world.session(OPTIONS)
        assert session.peer.address == "127.0.0.1"
        dns.records.clear()
        dns.add("mx.test. 0 A 10.0.0.1")
        again = await world.session(OPTIONS)  # still the answer that was judged
        assert again.peer.address == "127.0.0.1"


async def test_hosts_that_do_not_resolve_are_passed_over() -> None:
    async with (
        dns_server("mx3.test. 300 A 127.0.0.1", "loop.test. 9 CNAME loop.test.") as dns,
        receiver() as mx,
        World(dns, mx.port) as world,
    ):
        session = await world.session(OPTIONS, "gone.test", "loop.test", "mx3.test")
        assert session.peer.host == "mx3.test"
        failure = await world.failure(OPTIONS, "gone.test")
    assert str(failure) == "gone.test CONNECT: gone.test: no IPv4 address"
    assert failure.kind is TransportKind.UNREACHABLE


async def test_a_source_address_that_is_not_here_is_our_own_trouble() -> None:
    elsewhere = Source(name="s2", address="192.0.2.77", ehlo="out.test", pool="main")
    async with dns_server("mx.test. 300 A 127.0.0.1", "mx.test. 300 A 127.0.0.2") as dns, receiver() as mx:
        async with World(dns, mx.port) as world:
            failure = await world.open(OPTIONS, source=elsewhere)
        assert isinstance(failure, Failure)
        assert failure.kind is TransportKind.RESOURCES
        assert "from 192.0.2.77" in str(failure)
        assert not world.hosts.is_dead("192.0.2.77", "127.0.0.1", trio.current_time())


async def test_the_connection_comes_from_the_source() -> None:
    local = Source(name="s2", address="127.0.0.77", ehlo="out2.test", pool="main")
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        assert isinstance(await world.open(OPTIONS, source=local), Session)
        assert mx.connections[0].sock.getpeername()[0] == "127.0.0.77"
        assert mx.commands == ["EHLO out2.test"]


def test_our_own_address_is_known_without_being_told_of_it() -> None:
    assert is_own(socket.AF_INET, "127.0.0.1")
    assert not is_own(socket.AF_INET, "192.88.99.1")


async def test_a_cancelled_opening_leaves_no_connection(patient_clock: trio.testing.MockClock) -> None:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        mx.plan("GREETING", hang)
        with trio.move_on_after(1):
            await world.failure(OPTIONS)
        await trio.sleep(1)
        assert await _is_closed(mx)


async def _is_closed(mx: Receiver) -> bool:
    return await mx.connections[0].sock.recv(1) == b""


async def test_a_reply_out_of_form_at_the_greeting_is_a_failure_of_protocol() -> None:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        mx.plan("GREETING", b"SSH-2.0-OpenSSH_9.2\r\n")
        failure = await world.failure(OPTIONS)
        assert (failure.step, failure.kind, failure.reply) == (Step.GREETING, None, None)


async def test_a_session_that_opened_takes_mail() -> None:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        session = await world.session(OPTIONS)
        work = Work([message(1)])
        await session.pump(work.take, work.done)
        assert len(mx.messages) == 1
