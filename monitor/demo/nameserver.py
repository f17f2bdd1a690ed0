# SPDX-License-Identifier: Apache-2.0
"""The resolvers of the simulated internet: one table of names, asked over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_TTL = 60
_MAX_CACHED = 4096
_RCODES = {
    "dns.nxdomain": dns.rcode.NXDOMAIN,
    "dns.refused": dns.rcode.REFUSED,
    "dns.servfail": dns.rcode.SERVFAIL,
    "dns.empty": dns.rcode.NOERROR,
}

Censor = Callable[[str, str], str | None]
"""(source address, name) to a technique, or None."""


class Nameserver:
    """Answers questions about the names of the simulated internet."""

    def __init__(self, addresses: Mapping[str, str], forged: Mapping[str, str]) -> None:
        """`addresses` are the true ones by name, `forged` the false ones by technique."""
        self._addresses = addresses
        self._forged = forged
        self._ready: dict[tuple[bytes, str | None], bytes] = {}

    def answer(self, query: bytes, source: str, censor: Censor | None) -> bytes | None:
        """Return the reply to a question, None for silence."""
        if len(query) < 12:
            return None
        try:
            technique = censor(source, _name(query)) if censor else None
        except (IndexError, UnicodeDecodeError):
            return None
        if technique == "dns.timeout":
            return None
        key = (query[2:], technique)
        if (rest := self._ready.get(key)) is None:
            if (reply := self._build_reply(query, technique)) is None:
                return None
            if len(self._ready) >= _MAX_CACHED:
                self._ready.clear()
            rest = self._ready[key] = reply[2:]
        return query[:2] + rest

    def _build_reply(self, query: bytes, technique: str | None) -> bytes | None:
        try:
            message = dns.message.from_wire(query)
        except dns.exception.DNSException:
            return None
        if message.flags & dns.flags.QR or len(message.question) != 1:
            return None
        question = message.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        reply = dns.message.make_response(message, recursion_available=True)
        if technique in _RCODES:
            reply.set_rcode(_RCODES[technique])
            return reply.to_wire()
        address = self._addresses.get(name) if technique is None else self._forged.get(technique)
        if address is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, _TTL, "IN", "A", address))
        return reply.to_wire()


class DatagramService(asyncio.DatagramProtocol):
    """A resolver over UDP; with no nameserver, an address that never answers."""

    def __init__(self, nameserver: Nameserver | None, censor: Censor | None = None) -> None:
        self._nameserver = nameserver
        self._censor = censor
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # asyncio's own class is no DatagramTransport before Python 3.12.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, unless this address is silent or the provider says nothing."""
        if self._nameserver is None or self._transport is None:
            return
        reply = self._nameserver.answer(data, addr[0], self._censor)
        if reply is not None:
            self._transport.sendto(reply, addr)


def _name(query: bytes) -> str:
    """The name asked for, read without a parser: this runs for every question."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels).lower()
