"""DNS messages: the question as bytes, and what the bytes of a reply say. Pure.

A reply comes from strangers: whatever it holds, reading it gives a value, never an exception,
and every string of that value is printable and within the bounds of the wire format.
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
from dataclasses import dataclass

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
    subnet. `identity` is the id, random unless given (DoH uses 0). Raises NameRefusedError."""
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
        message = dns.message.from_wire(payload, ignore_trailing=True)
    except Exception:
        # The library reads hostile bytes here and nothing of ours runs: whatever it trips over
        # (its own errors, struct, index, encoding) is a fact about the reply. A truncated one may
        # end anywhere and still sends a stub to TCP.
        return Reading(fault="" if truncated else "malformed", truncated=truncated)
    rcode = message.rcode()
    if not _answers(message, asked):
        return Reading(fault="wrong_question")
    answers, cnames, ttl, loop = _resolve(message, asked)
    evidence = ["cname_loop"] if loop else []
    if not answers and any(r.rdtype == dns.rdatatype.SOA for r in message.authority):
        evidence.append("authority_soa")
    reply = DNSReply(after_us=after_us, rcode=int(rcode), answers=answers, cnames=cnames, ttl=ttl)
    return Reading(reply=reply, truncated=truncated, evidence=tuple(evidence))


def _answers(message: dns.message.Message, asked: Query) -> bool:
    if not message.question:
        return message.rcode() in _NO_QUESTION_NEEDED
    question = message.question[0]
    return (
        len(message.question) == 1
        and question.name == asked.name
        and question.rdtype == asked.qtype
        and question.rdclass == dns.rdataclass.IN
    )


def _resolve(
    message: dns.message.Message, asked: Query
) -> tuple[tuple[str, ...], tuple[str, ...], int | None, bool]:
    """Follow the aliases from the name asked for, as a stub does, to the addresses at their end.

    Returns addresses, aliases, the smallest TTL on the way, and whether the aliases go in circles.
    """
    aliases: dict[dns.name.Name, tuple[dns.name.Name, int]] = {}
    addresses: dict[dns.name.Name, tuple[list[str], int]] = {}
    for rrset in message.answer:
        if rrset.rdclass != dns.rdataclass.IN or not len(rrset):
            continue
        if rrset.rdtype == dns.rdatatype.CNAME:
            aliases.setdefault(rrset.name, (rrset[0].target, rrset.ttl))
        elif rrset.rdtype == asked.qtype:
            texts = [canonical_address(rdata.address) for rdata in rrset]
            addresses.setdefault(rrset.name, (texts, rrset.ttl))
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


def canonical_address(text: str) -> str:
    """Return an address in the form of RFC 5952, the same on every Python version."""
    ip = ipaddress.ip_address(text)
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
