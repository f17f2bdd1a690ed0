# SPDX-License-Identifier: Apache-2.0
"""One DNS question, and every answer that came: the DNS step.

A censor on the path races the resolver, so the UDP socket stays open for a while after the first
reply and each further reply is a fact. A question that is sent again gets a new id: else the
resolver's two honest answers, which may differ, would look like an injected one. Nothing here
judges; a network cause never raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from probes.net import classify
from probes.net.dns_message import NameRefusedError, Query, Reading, failure, query, read
from probes.net.dns_transport import ExchangeError, Phase, exchange
from probes.net.limits import within
from probes.net.network import Datagrams, DestinationRefusedError, Network
from probes.net.pending_lookup import PendingLookup
from probes.net.resolvers import ResolverRoute
from probes.wire.failure import Failure, unknown_failure
from probes.wire.observation import Contrast, DNSLookup, DNSReply, Purpose

WINDOW = 3.0
"""Seconds of listening after the first reply."""
TIMEOUT = 5.0
"""Seconds until a nameserver counts as silent; glibc's default (resolv.conf(5))."""
_WAITS = (0.25, 0.3, 0.45)
"""Waiting after each sending, in parts of the timeout: packets get lost."""
_MAX_REPLIES = 16
_MAX_EVIDENCE = 16
_MAX_DATAGRAMS = 64
"""Datagrams read for one question; more is a flood."""
_FORMERR = 1
_NEXT_SERVER = frozenset((Failure.DNS_SERVFAIL, Failure.DNS_REFUSED, Failure.DNS_MISBEHAVING))
"""Answers after which a stub asks its next nameserver (glibc 2.41, resolv/res_send.c, 2025)."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is asked and how patiently."""

    network: Network
    endpoint: str
    name: str
    qtype: str
    started_us: int
    purpose: Purpose
    contrast: Contrast | None
    window: float
    timeout: float


@dataclass(slots=True)
class _Record:
    """What has been seen of one question so far."""

    ask: _Ask
    route: ResolverRoute
    begun_us: int
    replies: list[DNSReply] = field(default_factory=list)
    evidence: dict[str, None] = field(default_factory=dict)
    failure: str | None = None
    settled_us: int | None = None
    alone: bool = False
    """It is the machine's only nameserver: what it did instead of answering is remarked."""
    _made: tuple[int, int, DNSLookup] | None = None

    def settle(self, word: str | None) -> None:
        """Note how it ended for a stub resolver, and when."""
        self.failure, self._made = word, None
        self.settled_us = self.ask.network.clock_us()

    def observation(self) -> DNSLookup:
        """What has been seen so far; made once for as long as nothing more is."""
        seen = len(self.replies), len(self.evidence)
        if self._made is None or self._made[:2] != seen:
            self._made = (*seen, self._observation())
        return self._made[2]

    def _observation(self) -> DNSLookup:
        ask = self.ask
        settled = self.begun_us if self.settled_us is None else self.settled_us
        evidence = dict(self.evidence)
        if self.alone and not _usable(self.failure, self.replies):
            evidence[_did(1, self.failure)] = None
        return DNSLookup(
            endpoint=ask.endpoint,
            purpose=ask.purpose,
            contrast=ask.contrast,
            at_us=max(self.begun_us - ask.started_us, 0),
            took_us=max(settled - self.begun_us, 0),
            failure=self.failure,
            evidence=tuple(evidence)[:_MAX_EVIDENCE],
            name=ask.name[:1024] if ask.name.isprintable() else _printable(ask.name),
            qtype=ask.qtype,
            resolver=self.route.id,
            transport=self.route.transport,
            replies=tuple(self.replies),
        )


def _usable(failed: str | None, replies: Sequence[DNSReply]) -> bool:
    """A stub goes on with this and asks no other nameserver."""
    return failed is None or (bool(replies) and failed not in _NEXT_SERVER)


def _did(number: int, failed: str | None) -> str:
    """The remark on a nameserver that gave no usable answer."""
    return f"ns{number}_{(failed or '').partition(':')[0]}"[:64]


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:1024]


def begin_lookup(
    group: asyncio.TaskGroup,
    network: Network,
    *,
    endpoint: str,
    name: str,
    qtype: str,
    via: ResolverRoute | Sequence[ResolverRoute],
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    window: float = WINDOW,
    timeout: float = TIMEOUT,
) -> PendingLookup:
    """Start a lookup in the caller's task group, which also waits for its window to end.

    A sequence of routes is asked in order, as a stub asks its nameservers (`lookup_system`).
    """
    ask = _Ask(network, endpoint, name, qtype, started_us, purpose, contrast, window, timeout)
    pending = PendingLookup()
    if isinstance(via, ResolverRoute):
        group.create_task(_one(ask, via, pending))
    else:
        group.create_task(_in_order(ask, tuple(via), pending))
    return pending


async def lookup(
    network: Network,
    *,
    endpoint: str,
    name: str,
    qtype: str,
    via: ResolverRoute,
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    window: float = WINDOW,
    timeout: float = TIMEOUT,
) -> DNSLookup:
    """Ask one resolver one question; over UDP, return when the listening window is over.

    `qtype` is `A` or `AAAA`, `started_us` the start of the measurement on the network's clock,
    `window` and `timeout` are seconds. `took_us` of the observation ends with the first reply or
    the failure, not with the window.
    """
    ask = _Ask(network, endpoint, name, qtype, started_us, purpose, contrast, window, timeout)
    pending = PendingLookup()
    await _one(ask, via, pending)
    return await pending.finish()


async def lookup_system(
    network: Network,
    *,
    endpoint: str,
    name: str,
    qtype: str,
    via: Sequence[ResolverRoute],
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    window: float = WINDOW,
    timeout: float = TIMEOUT,
) -> DNSLookup:
    """Ask the machine's nameservers in order, as a stub would: the next one when one is silent,
    unreachable, or answers REFUSED or SERVFAIL.

    Returns the first usable answer; when there is none, the first nameserver's observation.
    `evidence` names what earlier ones did: `ns1_generic_timeout_error`. `timeout` is for each.
    """
    ask = _Ask(network, endpoint, name, qtype, started_us, purpose, contrast, window, timeout)
    pending = PendingLookup()
    await _in_order(ask, tuple(via), pending)
    return await pending.finish()


async def _in_order(ask: _Ask, routes: tuple[ResolverRoute, ...], pending: PendingLookup) -> None:
    if not routes:
        raise ValueError("no nameserver to ask")
    if len(routes) == 1:  # as usual: there is no other to turn to
        await _one(ask, routes[0], pending, alone=True)
        return
    asked: list[PendingLookup] = []
    remarks: list[str] = []
    chosen = 0
    async with asyncio.TaskGroup() as group:
        for number, route in enumerate(routes, 1):
            asked.append(PendingLookup())
            group.create_task(_one(ask, route, asked[-1]))
            seen = await asked[-1].first()
            if _usable(seen.failure, seen.replies):
                chosen = number - 1
                break
            remarks.append(_did(number, seen.failure))
        believed = await asked[chosen].first()
        pending.settle(_remarked(believed, remarks))
    finished = [await each.finish() for each in asked]
    remarks += [
        f"ns{number}_second_answer"
        for number, each in enumerate(finished, 1)
        if len(each.replies) > 1 and number - 1 != chosen
    ]
    pending.end(_remarked(finished[chosen], remarks))


def _remarked(observation: DNSLookup, remarks: Sequence[str]) -> DNSLookup:
    evidence = tuple(dict.fromkeys((*observation.evidence, *remarks)))[:_MAX_EVIDENCE]
    return msgspec.structs.replace(observation, evidence=evidence)


async def _one(
    ask: _Ask, route: ResolverRoute, pending: PendingLookup, *, alone: bool = False
) -> None:
    """Ask one resolver; settle `pending` with the first reply, end it with the window."""
    record = _Record(ask, route, ask.network.clock_us(), alone=alone)
    phase = Phase()
    try:
        if route.transport == "udp":
            await _over_udp(record, phase, pending)
        else:
            async with asyncio.timeout(ask.timeout):
                await _over_connection(record, phase, route)
    except NameRefusedError:
        record.settle(unknown_failure("name_refused"))
    except DestinationRefusedError as error:
        record.evidence["not_dialled"] = None
        record.settle(classify.failure(error))
    except ExchangeError as error:
        record.evidence[error.evidence] = None
        record.settle(error.failure)
    except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
        if route.transport != "udp" or "truncated" in record.evidence:
            record.evidence[f"at_{phase.name}"] = None
        record.settle(classify.failure(error))
    pending.end(record.observation())


async def _over_connection(record: _Record, phase: Phase, route: ResolverRoute) -> None:
    """Ask over TCP, DoT or DoH: one connection, one reply, no window (nobody can race TCP)."""
    ask = record.ask
    question = query(ask.name, ask.qtype, identity=0 if route.transport == "doh" else None)
    payload = await exchange(ask.network, route, question.payload, phase)
    reading = read(payload, question, ask.network.clock_us() - phase.asked_us)
    if reading.reply is None:
        record.evidence[reading.fault or "truncated"] = None
        record.settle(Failure.DNS_MISBEHAVING)
    else:
        _note(record, reading, reading.reply)


def _note(record: _Record, reading: Reading, reply: DNSReply) -> None:
    """Take a reply that a stub would believe."""
    record.evidence.update(dict.fromkeys(reading.evidence))
    record.replies.append(reply)
    if len(record.replies) == 1:
        record.settle(failure(reply))


async def _over_udp(record: _Record, phase: Phase, pending: PendingLookup) -> None:
    ask, route = record.ask, record.route
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ask.timeout
    sock = await ask.network.datagrams(route.address, route.port)
    try:
        listener = _Listener(record, sock)
        truncated = await listener.first()
        if truncated:
            record.evidence["truncated"] = None
            over_tcp = ResolverRoute(route.id, "tcp", route.address, route.port)
            async with asyncio.timeout_at(deadline):
                await _over_connection(record, phase, over_tcp)
        pending.settle(record.observation())
        if record.replies:
            await listener.rest(ask.window)
    finally:
        sock.close()


class _Listener:
    """Sends one question over one UDP socket and reads what comes back."""

    __slots__ = ("_asked", "_believed", "_edns", "_heard", "_record", "_sock")

    def __init__(self, record: _Record, sock: Datagrams) -> None:
        self._record = record
        self._sock = sock
        self._asked: dict[int, tuple[Query, int]] = {}
        self._believed: int | None = None
        self._edns = True
        self._heard = 0

    async def first(self) -> bool:
        """Wait for the reply that a stub would believe and note it. True: it is truncated, and
        has to be fetched over TCP. Raises OSError (TimeoutError at the deadline)."""
        last = len(_WAITS) - 1
        for number, part in enumerate(_WAITS):
            await self._send()
            try:
                with within(part * self._record.ask.timeout):
                    return await self._believable()
            except TimeoutError:
                if number < last:
                    self._record.evidence["sent_again"] = None
        if "malformed" in self._record.evidence or "oversized" in self._record.evidence:
            self._record.settle(Failure.DNS_MISBEHAVING)
            return False
        raise TimeoutError

    async def _believable(self) -> bool:
        while True:
            identity, reading = await self._receive()
            reply = reading.reply
            if reply and reply.rcode == _FORMERR and self._edns:
                self._edns = False  # a server older than EDNS (RFC 6891 section 7)
                self._record.evidence["no_edns"] = None
                await self._send()
                continue
            self._believed = identity
            if reading.truncated:
                return True
            if reply:
                _note(self._record, reading, reply)
                return False

    async def rest(self, window: float) -> None:
        """Note every further reply to the believed question until the window is over."""
        try:
            with within(window):
                await self._further()
        except TimeoutError:
            pass

    async def _further(self) -> None:
        while len(self._record.replies) < _MAX_REPLIES:
            try:
                identity, reading = await self._receive()
            except TimeoutError:
                return  # a flood
            except OSError:
                self._heard += 1
                self._record.evidence["icmp_after_reply"] = None
                if self._heard >= _MAX_DATAGRAMS:
                    return
                continue
            if identity != self._believed:
                self._record.evidence["sent_again_answered"] = None
            elif reading.reply and not reading.truncated:
                _note(self._record, reading, reading.reply)

    async def _send(self) -> None:
        ask = self._record.ask
        question = query(ask.name, ask.qtype, edns=self._edns)
        self._asked[question.id] = (question, ask.network.clock_us())
        await self._sock.send(question.payload)

    async def _receive(self) -> tuple[int, Reading]:
        """Return the next datagram that answers one of our questions, and that question's id."""
        while self._heard < _MAX_DATAGRAMS:
            payload = await self._sock.receive()
            self._heard += 1
            identity = int.from_bytes(payload[:2], "big")
            if len(payload) < 12:
                self._record.evidence["malformed"] = None
            elif identity not in self._asked:
                self._record.evidence["wrong_id"] = None
            else:
                question, sent_us = self._asked[identity]
                reading = read(payload, question, self._record.ask.network.clock_us() - sent_us)
                if reading.matches:
                    return identity, reading
                self._record.evidence[reading.fault] = None
        self._record.evidence["flood"] = None
        raise TimeoutError
