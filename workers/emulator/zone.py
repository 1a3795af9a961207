"""The DNS records of the emulated world, and how a question is answered from them. Pure: messages in, messages out."""

from collections.abc import Callable
from enum import Enum, auto

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_TTL_S = 300
_NEGATIVE_TTL_S = 60
_CNAME_STEPS = 8
_SOA = "ns.emulator.invalid. hostmaster.emulator.invalid. 1 3600 600 86400 {ttl}"
_TXT_PIECE = 255  # octets in one string of a TXT record (RFC 1035 section 3.3.14)


class Fault(Enum):
    """How a name misbehaves instead of answering."""

    SERVFAIL = auto()
    SILENCE = auto()


class Zone:
    """Every name of the world. What it does not have does not exist: there is no other internet behind it."""

    def __init__(self) -> None:
        self._records: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset]] = {}
        self._faults: dict[dns.name.Name, Fault] = {}
        self._outage: Fault | None = None
        self._texts: dict[str, str] = {}
        # answers that stand nowhere, octets to octets: b"" is silence, None a question of another kind
        self.made_up: Callable[[bytes], bytes | None] = lambda query: None
        self._parents: set[dns.name.Name] = set()  # names that exist only because something stands below them
        self.version = 0  # grows with every change

    def __repr__(self) -> str:
        return f"<Zone names={len(self._records)} version={self.version}>"

    def add(self, name: str, kind: str, value: str, ttl_s: int = _TTL_S) -> None:
        """Add one record; `value` is in zone file form, except that a TXT is the bare text of any length.

        Raises ValueError when the value does not fit the kind.
        """
        key = _key(name)
        rdatatype = dns.rdatatype.from_text(kind)
        if rdatatype == dns.rdatatype.TXT:
            self._texts[name.rstrip(".").lower()] = value
            value = " ".join(f'"{_quoted(value[at : at + _TXT_PIECE])}"' for at in range(0, max(1, len(value)), _TXT_PIECE))
        try:
            rdata = dns.rdata.from_text(dns.rdataclass.IN, rdatatype, value)
        except dns.exception.DNSException as error:
            raise ValueError(f"{name} {kind} {value!r}: {error}") from error
        kinds = self._records.setdefault(key, {})
        rrset = kinds.get(rdatatype)
        if rrset is None:
            rrset = kinds[rdatatype] = dns.rrset.RRset(key, dns.rdataclass.IN, rdatatype)
        rrset.add(rdata, ttl_s)
        self._parents.update(dns.name.Name(key.labels[depth:]) for depth in range(1, len(key)))
        self.version += 1

    def remove(self, name: str) -> None:
        """Take a name with all its records out of the world; without effect when it is not there."""
        self._records.pop(_key(name), None)
        self._texts.pop(name.rstrip(".").lower(), None)
        self.version += 1

    def break_name(self, name: str, fault: Fault | None) -> None:
        """Let every question for `name` fail in this way; None heals it."""
        if fault is None:
            self._faults.pop(_key(name), None)
        else:
            self._faults[_key(name)] = fault

    def break_all(self, fault: Fault | None) -> None:
        """Let every question fail in this way, whatever its name; None ends that."""
        self._outage = fault

    @property
    def well(self) -> bool:
        """Whether questions are answered at all."""
        return self._outage is None

    def texts(self) -> dict[str, str]:
        """The TXT of every name that has one, the last one added: where the DKIM verifier finds its keys."""
        return dict(self._texts)

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        """The reply to a question; None where there is to be none."""
        response = dns.message.make_response(query)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        response.flags |= dns.flags.AA | dns.flags.RA
        name, kind = query.question[0].name, query.question[0].rdtype
        fault = self._outage or self._faults.get(name)
        if fault is Fault.SILENCE:
            return None
        if fault is Fault.SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        self._fill(response, name, kind)
        return response

    def _fill(self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        for _ in range(_CNAME_STEPS):
            kinds = self._records.get(name)
            if kinds is None:
                # An empty non-terminal exists (RFC 8020): only a name with nothing below it is NXDOMAIN.
                if name not in self._parents:
                    response.set_rcode(dns.rcode.NXDOMAIN)
                break
            rrset = kinds.get(kind)
            if rrset is not None:
                response.answer.append(rrset)
                return
            alias = kinds.get(dns.rdatatype.CNAME)
            if alias is None:
                break
            response.answer.append(alias)
            name = alias[0].target
        soa = _SOA.format(ttl=_NEGATIVE_TTL_S)
        apex = name.parent() if len(name) > 2 else name
        response.authority.append(dns.rrset.from_text(apex, _NEGATIVE_TTL_S, "IN", "SOA", soa))


def _key(name: str) -> dns.name.Name:
    return dns.name.from_text(name.lower())


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
