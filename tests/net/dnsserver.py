"""A small authoritative DNS server on the loopback for tests: zone text in, scripted lies on request."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import trio

from workers.emulator.dns import bind_both

Lie = Callable[[dns.message.QueryMessage], bytes | None]


def _is_chain_end(qtype: dns.rdatatype.RdataType, found: list[dns.rrset.RRset]) -> bool:
    return qtype == dns.rdatatype.CNAME or not found or found[0].rdtype != dns.rdatatype.CNAME


@dataclass(slots=True)
class DnsServer:
    """Answers from `records`; a name that owns none is NXDOMAIN. `port` is the same for UDP and TCP."""

    records: list[dns.rrset.RRset] = field(default_factory=list)
    port: int = 0
    address: str = "127.0.0.1"
    rcode: dns.rcode.Rcode | None = None  # answer everything with this code
    silent: bool = False
    delay_s: float = 0.0
    before: list[Lie] = field(default_factory=list)  # datagrams sent ahead of the answer
    queries: Counter[str] = field(default_factory=Counter)  # "MX example.test"

    def add(self, *lines: str) -> None:
        """Add records as "name ttl type data", one rrset for the lines of one name and type."""
        for line in lines:
            name, ttl, kind, data = line.split(None, 3)
            new = dns.rrset.from_text(dns.name.from_text(name), int(ttl), "IN", kind, data)
            same = next((known for known in self.records if (known.name, known.rdtype) == (new.name, new.rdtype)), None)
            if same is None:
                self.records.append(new)
            else:
                same.add(new[0], int(ttl))

    def answer(self, query: dns.message.QueryMessage) -> dns.message.Message:
        question = query.question[0]
        self.queries[f"{question.rdtype.name} {question.name.to_text(omit_final_dot=True)}"] += 1
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.rcode is not None:
            response.set_rcode(self.rcode)
            return response
        name = question.name
        for _ in range(8):
            owned = [rrset for rrset in self.records if rrset.name == name]
            found = [rrset for rrset in owned if rrset.rdtype in (question.rdtype, dns.rdatatype.CNAME)]
            response.answer.extend(rrset for rrset in found if rrset not in response.answer)
            if not owned:
                response.set_rcode(dns.rcode.NXDOMAIN)
            if _is_chain_end(question.rdtype, found):
                break
            name = found[0][0].target
        return response

    async def _datagram(self, sock: trio.socket.SocketType, data: bytes, peer: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        assert isinstance(query, dns.message.QueryMessage)
        if self.silent:
            self.queries["silent"] += 1
            return
        if self.delay_s:
            await trio.sleep(self.delay_s)
        for lie in self.before:
            forged = lie(query)
            if forged is not None:
                await sock.sendto(forged, peer)
        response = self.answer(query)
        wire = response.to_wire(max_size=65535)
        if len(wire) > 1232:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        await sock.sendto(wire, peer)

    async def _udp(self, sock: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                data, peer = await sock.recvfrom(4096)
                nursery.start_soon(self._datagram, sock, data, peer)

    async def _tcp(self, stream: trio.SocketStream) -> None:
        async with stream:
            held = b""
            while len(held) < 2 or len(held) < 2 + int.from_bytes(held[:2], "big"):
                held += await stream.receive_some() or b"\0\0\0"
            query = dns.message.from_wire(held[2:])
            assert isinstance(query, dns.message.QueryMessage)
            self.queries["tcp"] += 1
            wire = self.answer(query).to_wire(max_size=65535)
            await stream.send_all(len(wire).to_bytes(2, "big") + wire)


@asynccontextmanager
async def dns_server(*lines: str, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[DnsServer]:
    server = DnsServer(address=address)
    server.add(*lines)
    async with trio.open_nursery() as nursery:
        listener, sock = await bind_both(address, port)
        server.port = listener.socket.getsockname()[1]
        with sock:
            nursery.start_soon(trio.serve_listeners, server._tcp, [listener])
            nursery.start_soon(server._udp, sock)
            yield server
            nursery.cancel_scope.cancel()
