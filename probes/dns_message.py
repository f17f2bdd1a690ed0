"""DNS messages: the question as bytes, and what the bytes of a reply say. Pure.

A reply comes from strangers: whatever it holds, reading it gives a value, never an exception,
and every string of that value is printable and within the bounds of the wire format.
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from probes.wire.failure import Failure
from probes.wire.observation import DNSReply

UDP_PAYLOAD = 1232
"""EDNS buffer size: no fragments on any usual path (DNS flag day 2020)."""
MAX_REPLY_BYTES = 16384
"""Longer replies are not read: nothing that is measured needs them, and reading takes time."""
_MAX_ANSWERS = 64
_MAX_CNAMES = 16
_MAX_TTL = 2**31 - 1
_WIDTHS = {int(dns.rdatatype.A): 4, int(dns.rdatatype.AAAA): 16}
_MAX_LABELS = 2000
"""Labels read of one reply; sixty addresses of a name with six labels are 420."""
_NO_QUESTION_NEEDED = frozenset(
    (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED)
)
"""Replies with these codes may come without the question: servers that understood nothing of it."""


class NameRefusedError(ValueError):
    """A name that cannot be asked: it is no host name that fits into a DNS message."""


@dataclass(frozen=True)
class Query:
    """One question with its random id, as sent."""

    id: int
    name: dns.name.Name
    qtype: dns.rdatatype.RdataType
    payload: bytes


@dataclass(frozen=True)
class Reading:
    """What the bytes of one reply say."""

    fault: str = ""
    """Why it is no reply to this query: `malformed`, `oversized`, `wrong_id` or
    `wrong_question`; empty when it is one."""
    reply: DNSReply | None = None
    truncated: bool = False
    """The TC bit is set: a stub asks again over TCP."""
    evidence: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether a stub resolver would have believed it."""
        return not self.fault


def query(name: str, qtype: str, *, identity: int | None = None, edns: bool = True) -> Query:
    """Return the question that a stub resolver would send: recursion desired, EDNS without client
    subnet. `qtype` is `A` or `AAAA`; `identity` is the id, random unless given (DoH uses 0).

    Raises NameRefusedError.
    """
    if not name.isprintable() or " " in name:
        raise NameRefusedError(f"{name!r}: control characters or spaces")
    identity = secrets.randbelow(1 << 16) if identity is None else identity
    try:
        qname = dns.name.from_text(name)
        message = dns.message.make_query(qname, qtype, use_edns=0 if edns else -1,
                                         payload=UDP_PAYLOAD, id=identity)  # fmt: skip
        payload = message.to_wire()
    except (dns.exception.DNSException, ValueError) as error:
        raise NameRefusedError(f"{name!r}: {type(error).__name__}") from None
    return Query(identity, qname, dns.rdatatype.from_text(qtype), payload)


def read(payload: bytes, asked: Query, after_us: int) -> Reading:
    """Return what a reply to `asked` says; `after_us` is when it came."""
    if len(payload) < 12:
        return Reading(fault="malformed")
    identity, flags = struct.unpack_from("!HH", payload)
    if identity != asked.id:
        return Reading(fault="wrong_id")
    if len(payload) > MAX_REPLY_BYTES:
        return Reading(fault="oversized")
    if not flags & dns.flags.QR or dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return Reading(fault="malformed")
    truncated = bool(flags & dns.flags.TC)
    try:
        message = _parsed(payload, flags, asked)
    except _OversizedError:
        return Reading(fault="oversized")
    except (dns.exception.DNSException, struct.error, ValueError):
        # A truncated reply may end anywhere and still sends a stub to TCP.
        return Reading(fault="" if truncated else "malformed", truncated=truncated)
    if not message.of_the_question:
        return Reading(fault="wrong_question")
    answers, cnames, ttl, loop = _resolve(message, asked)
    evidence = ["cname_loop"] if loop else []
    if not answers and message.authority_soa:
        evidence.append("authority_soa")
    if message.damaged_tail:
        evidence.append("malformed_tail")
    reply = DNSReply(
        after_us=after_us, rcode=message.rcode, answers=answers, cnames=cnames, ttl=ttl
    )
    return Reading(reply=reply, truncated=truncated, evidence=tuple(evidence))


@dataclass
class _Message:
    """What of a reply matters here."""

    rcode: int
    of_the_question: bool = False
    aliases: dict[dns.name.Name, tuple[dns.name.Name, int]] = field(default_factory=dict)
    addresses: dict[dns.name.Name, tuple[list[str], int]] = field(default_factory=dict)
    authority_soa: bool = False
    damaged_tail: bool = False


class _OversizedError(Exception):
    """More names than any honest reply holds."""


class _Cursor:
    """A position in a reply, and how many labels it may still read: a message of 16 kB whose
    every record points to one long name costs the library seconds."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 12
        self._labels = _MAX_LABELS

    def name(self) -> dns.name.Name:
        name, used = dns.name.from_wire(self.payload, self.at)
        self.at += used
        self._labels -= len(name.labels)
        if self._labels < 0:
            raise _OversizedError
        return name

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self.payload, self.at)
        self.at += struct.calcsize(form)
        return values


def _parsed(payload: bytes, flags: int, asked: Query) -> _Message:
    """Read what a stub reads. Raises DNSException, struct.error, ValueError, _OversizedError."""
    message = _Message(rcode=flags & 0xF)
    questions, *counts = struct.unpack_from("!4H", payload, 4)
    cursor = _Cursor(payload)
    same = []
    for _ in range(min(questions, 2)):
        name, (qtype, qclass) = cursor.name(), cursor.take("!2H")
        same.append((name, qtype, qclass) == (asked.name, asked.qtype, dns.rdataclass.IN))
    message.of_the_question = same == [True] or (
        not questions and message.rcode in _NO_QUESTION_NEEDED
    )
    if message.of_the_question:
        try:
            for section, count in enumerate(counts):
                for _ in range(count):
                    _take_record(message, cursor, section, asked)
        except (dns.exception.DNSException, struct.error, ValueError):
            if section == 0:
                raise
            message.damaged_tail = True  # a stub does not read that far
    return message


def _take_record(message: _Message, cursor: _Cursor, section: int, asked: Query) -> None:
    """Read one record of section 0 (answer), 1 (authority) or 2 (additional)."""
    owner = cursor.name()
    kind, rdclass, ttl, length = cursor.take("!2HIH")
    begin, end = cursor.at, cursor.at + length
    rdata = cursor.payload[begin:end]
    if len(rdata) != length:
        raise ValueError("a record ends after the message")
    if kind == dns.rdatatype.OPT:
        message.rcode |= ttl >> 24 << 4  # RFC 6891 section 6.1.3
    elif section == 1 and kind == dns.rdatatype.SOA:
        message.authority_soa = True
    elif section == 0 and rdclass == dns.rdataclass.IN:
        if kind == dns.rdatatype.CNAME:
            message.aliases.setdefault(owner, (cursor.name(), ttl))
        elif kind == asked.qtype:
            if length != _WIDTHS[kind]:
                raise ValueError("an address of another length")
            texts, least = message.addresses.setdefault(owner, ([], ttl))
            texts.append(canonical_address(ipaddress.ip_address(rdata)))
            message.addresses[owner] = (texts, min(least, ttl))
    cursor.at = end


def _resolve(
    message: _Message, asked: Query
) -> tuple[tuple[str, ...], tuple[str, ...], int | None, bool]:
    """Follow the aliases from the name asked for, as a stub does, to the addresses at their end.

    Returns addresses, aliases, the smallest TTL on the way, and whether the aliases go in circles.
    """
    aliases, addresses = message.aliases, message.addresses
    name, chain, seen = asked.name, list[str](), {asked.name}
    ttls: list[int] = []
    while name not in addresses and name in aliases:
        name, ttl = aliases[name]
        if name in seen or len(chain) == _MAX_CNAMES:
            return (), tuple(chain), None, True
        seen.add(name)
        chain.append(name.to_text(omit_final_dot=True))
        ttls.append(ttl)
    found, ttl = addresses.get(name, ([], 0))
    if found:
        ttls.append(ttl)
    smallest = min(max(min(ttls), 0), _MAX_TTL) if ttls else None
    return tuple(sorted(set(found))[:_MAX_ANSWERS]), tuple(chain), smallest, False


def canonical_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address in the form of RFC 5952, the same on every Python version."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return f"::ffff:{ip.ipv4_mapped}"
    return str(ip)


def failure(reply: DNSReply) -> str | None:
    """Return OONI's word for a reply: None only when it holds addresses."""
    match reply.rcode:
        case dns.rcode.NOERROR:
            return None if reply.answers else Failure.DNS_NO_ANSWER
        case dns.rcode.NXDOMAIN:
            return Failure.DNS_NXDOMAIN
        case dns.rcode.REFUSED:
            return Failure.DNS_REFUSED
        case dns.rcode.SERVFAIL:
            return Failure.DNS_SERVFAIL
        case _:
            return Failure.DNS_MISBEHAVING
