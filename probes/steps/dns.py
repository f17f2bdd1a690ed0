# SPDX-License-Identifier: Apache-2.0
"""The DNS step: one question and every reply to it.

A censor on the path races the resolver, so the UDP socket stays open for a while after the first
reply, and further replies are recorded too. A question that is sent again gets a new id; otherwise
two genuine answers of the resolver, which may differ, would look like an injection. Failures of the
network never raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from probes.net import classify
from probes.net.dns_message import (
    NameRefusedError,
    ParsedReply,
    Query,
    build_query,
    parse_reply,
    reply_failure,
)
from probes.net.dns_transport import NONE_KEPT, ExchangeError, KeptConnections, Phase, exchange
from probes.net.edns_memory import EDNSMemory
from probes.net.limits import MachineLateError, within
from probes.net.network import Datagrams, DestinationRefusedError, Network
from probes.net.resolvers import ResolverRoute
from probes.steps.context import late_evidence
from probes.wire.failure import Failure, unknown_failure
from probes.wire.observation import UNCHECKED, Contrast, DNSLookup, DNSReply, Purpose

WINDOW = 3.0
"""Seconds of listening after the first reply."""
TIMEOUT = 5.0
"""Seconds until a nameserver counts as silent; glibc's default (resolv.conf(5))."""
_WAIT_SHARES = (0.25, 0.3, 0.45)
"""Shares of the timeout to wait after each time that the question is sent."""
_MAX_REPLIES = 16
_MAX_EVIDENCE = 16
_MAX_DATAGRAMS = 64
"""Datagrams read for one question; more is a flood."""
_FORMERR = 1
UNANSWERED = frozenset((Failure.DNS_REFUSED, Failure.DNS_SERVFAIL, Failure.TIMEOUT))
"""How a resolver fails that is overloaded, limits its queries or loses packets."""
DOUBTFUL = UNANSWERED | {Failure.DNS_NXDOMAIN}
"""What is asked again before it is believed: one server of several behind a resolver's address may
hold an old answer or be faulty, and deny a name that the others give."""
_NEXT_SERVER = frozenset((Failure.DNS_SERVFAIL, Failure.DNS_REFUSED, Failure.DNS_MISBEHAVING))
"""Answers after which a stub asks its next nameserver (glibc 2.41, resolv/res_send.c, 2025)."""


class PendingLookup:
    """A lookup in progress: its first answer early, and every answer once its window is over.

    `on_doubt` is called once, as soon as the question has to be sent again, was not answered or the
    name was denied: now it may be asked from another port, and another name beside it.
    """

    __slots__ = ("_final", "_first", "_on_doubt")

    def __init__(self, on_doubt: Callable[[], None] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._on_doubt = on_doubt
        self._first: asyncio.Future[DNSLookup] = loop.create_future()
        self._final: asyncio.Future[DNSLookup] = loop.create_future()

    async def first(self) -> DNSLookup:
        """Wait for the first reply or the failure, and return the newest observation."""
        # Shielded: one of several who wait may be cancelled alone.
        return await asyncio.shield(self._final if self._final.done() else self._first)

    async def finish(self) -> DNSLookup:
        """Wait for the end of the window, and return the observation with every reply."""
        return await asyncio.shield(self._final)

    def doubt(self) -> None:
        """The question has to be sent again, or its answer is doubtful."""
        if self._on_doubt is not None:
            on_doubt, self._on_doubt = self._on_doubt, None
            on_doubt()

    def set_first(self, observation: DNSLookup) -> None:
        """Make `first` return this, unless it has returned another."""
        if not self._first.done():
            if observation.failure in DOUBTFUL:
                self.doubt()
            self._first.set_result(observation)

    def relay(self, other: PendingLookup) -> None:
        """Make the other's `first` return an answer of this one, when that comes earlier."""

        def answered(first: asyncio.Future[DNSLookup]) -> None:
            if not first.cancelled() and first.result().failure not in UNANSWERED:
                other.set_first(first.result())

        self._first.add_done_callback(answered)

    def set_final(self, observation: DNSLookup) -> None:
        """Make `finish` (and `first`) return this."""
        self.set_first(observation)
        self._final.set_result(observation)


class WantedLookup(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how long to wait for replies, in seconds."""

    endpoint: str
    name: str
    qtype: str
    """`A` or `AAAA`."""
    started_us: int
    """Start of the measurement, by the network's clock."""
    purpose: Purpose = Purpose.SUBJECT
    contrast: Contrast | None = None
    window: float = WINDOW
    timeout: float = TIMEOUT
    unchecked: bool = False
    """The resolver is asked not to check signatures; evidence says so."""


class _Request(msgspec.Struct, frozen=True):
    """A question on its way. `pending` learns when it becomes doubtful."""

    network: Network
    wanted: WantedLookup
    pending: PendingLookup
    kept: KeptConnections = NONE_KEPT
    edns: EDNSMemory = msgspec.field(default_factory=EDNSMemory)


@dataclass(slots=True)
class _LookupState:
    """What is known of one question so far."""

    request: _Request
    route: ResolverRoute
    begun_us: int
    replies: list[DNSReply] = field(default_factory=list)
    evidence: dict[str, None] = field(default_factory=dict)
    failure: str | None = None
    settled_us: int | None = None
    alone: bool = False
    """The machine has no other nameserver: evidence says what this one did instead of answering."""
    _made: tuple[int, int, DNSLookup] | None = None

    def settle(self, failed: str | None) -> None:
        """Record how the lookup ended for a stub resolver, and when."""
        self.failure, self._made = failed, None
        self.settled_us = self.request.network.clock_us()

    def observation(self) -> DNSLookup:
        """Return the observation so far; made anew only when there is more to tell."""
        seen = len(self.replies), len(self.evidence)
        if self._made is None or self._made[:2] != seen:
            self._made = (*seen, self._observation())
        return self._made[2]

    def _observation(self) -> DNSLookup:
        wanted = self.request.wanted
        settled = self.begun_us if self.settled_us is None else self.settled_us
        evidence = dict(self.evidence)
        if self.alone and not _usable(self.failure, self.replies):
            evidence[_nameserver_evidence(1, self.failure)] = None
        return DNSLookup(
            endpoint=wanted.endpoint,
            purpose=wanted.purpose,
            contrast=wanted.contrast,
            at_us=max(self.begun_us - wanted.started_us, 0),
            took_us=max(settled - self.begun_us, 0),
            failure=self.failure,
            evidence=tuple(evidence)[:_MAX_EVIDENCE],
            name=wanted.name[:1024] if wanted.name.isprintable() else _printable(wanted.name),
            qtype=wanted.qtype,
            resolver=self.route.id,
            transport=self.route.transport,
            replies=tuple(self.replies),
        )


def _usable(failed: str | None, replies: Sequence[DNSReply]) -> bool:
    """Whether a stub resolver accepts this and asks no other nameserver."""
    return failed is None or (bool(replies) and failed not in _NEXT_SERVER)


def _nameserver_evidence(number: int, failed: str | None) -> str:
    """Evidence about a nameserver that gave no usable answer."""
    return f"ns{number}_{(failed or '').partition(':')[0]}"[:64]


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:1024]


def begin_lookup(
    group: asyncio.TaskGroup,
    network: Network,
    wanted: WantedLookup,
    via: ResolverRoute | Sequence[ResolverRoute],
    on_doubt: Callable[[], None] | None = None,
    kept: KeptConnections = NONE_KEPT,
    edns: EDNSMemory | None = None,
) -> PendingLookup:
    """Start a lookup in the caller's task group, which also waits for its window to end.

    `on_doubt` as in `PendingLookup`; over TCP, DoT and DoH connections of `kept` are used, and over
    UDP what `edns` knows.
    `took_us` of the observation ends with the first reply or the failure, not with the window.

    A sequence of routes is asked in order, as a stub resolver asks its nameservers: the next one
    when one is silent, unreachable, or answers REFUSED or SERVFAIL. The observation is then the
    first usable answer, or what the first nameserver did; `evidence` says what those before did
    (`ns1_generic_timeout_error`). The time limit holds for each.
    """
    pending = PendingLookup(on_doubt)
    request = _Request(network, wanted, pending, kept, edns or EDNSMemory())
    if isinstance(via, ResolverRoute):
        group.create_task(_ask_one(request, via, pending))
    else:
        group.create_task(_ask_in_order(request, tuple(via), pending))
    return pending


async def _ask_in_order(
    request: _Request, routes: tuple[ResolverRoute, ...], pending: PendingLookup
) -> None:
    if not routes:
        raise ValueError("no nameserver to ask")
    if len(routes) == 1:
        await _ask_one(request, routes[0], pending, alone=True)
        return
    asked: list[PendingLookup] = []
    evidence: list[str] = []
    chosen = 0
    async with asyncio.TaskGroup() as group:
        for number, route in enumerate(routes, 1):
            asked.append(PendingLookup())
            group.create_task(_ask_one(request, route, asked[-1]))
            seen = await asked[-1].first()
            if _usable(seen.failure, seen.replies):
                chosen = number - 1
                break
            evidence.append(_nameserver_evidence(number, seen.failure))
        believed = await asked[chosen].first()
        pending.set_first(_with_evidence(believed, evidence))
    finished = [await each.finish() for each in asked]
    evidence += [
        f"ns{number}_second_answer"
        for number, each in enumerate(finished, 1)
        if len(each.replies) > 1 and number - 1 != chosen
    ]
    pending.set_final(_with_evidence(finished[chosen], evidence))


def _with_evidence(observation: DNSLookup, evidence: Sequence[str]) -> DNSLookup:
    every = dict.fromkeys((*observation.evidence, *evidence))
    return msgspec.structs.replace(observation, evidence=tuple(every)[:_MAX_EVIDENCE])


async def _ask_one(
    request: _Request, route: ResolverRoute, pending: PendingLookup, *, alone: bool = False
) -> None:
    """Ask one resolver; set the first observation at the first reply, the final one after the
    window."""
    state = _LookupState(request, route, request.network.clock_us(), alone=alone)
    if request.wanted.unchecked:
        state.evidence[UNCHECKED] = None
    phase = Phase()
    try:
        if route.transport == "udp":
            await _over_udp(state, phase, pending)
        else:
            with within(request.wanted.timeout):
                await _over_connection(state, phase, route)
    except NameRefusedError:
        state.settle(unknown_failure("name_refused"))
    except DestinationRefusedError as error:
        state.evidence["not_dialled"] = None
        state.settle(classify.failure(error))
    except ExchangeError as error:
        state.evidence[error.evidence] = None
        state.settle(error.failure)
    except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
        if route.transport != "udp" or "truncated" in state.evidence:
            state.evidence[f"at_{phase.name}"] = None
        state.evidence.update(dict.fromkeys(late_evidence(error)))
        state.settle(classify.failure(error))
    pending.set_final(state.observation())


async def _over_connection(state: _LookupState, phase: Phase, route: ResolverRoute) -> None:
    """Ask over TCP, DoT or DoH: one connection, one reply, no window (nobody can race TCP)."""
    request = state.request
    wanted, identity = request.wanted, 0 if route.transport == "doh" else None
    question = build_query(wanted.name, wanted.qtype, identity=identity, unchecked=wanted.unchecked)
    payload = await exchange(request.network, route, question.payload, phase, request.kept)
    parsed = parse_reply(payload, question, request.network.clock_us() - phase.asked_us)
    if parsed.reply is None:
        state.evidence[parsed.fault or "truncated"] = None
        state.settle(Failure.DNS_MISBEHAVING)
    else:
        _record_reply(state, parsed, parsed.reply)


def _record_reply(state: _LookupState, parsed: ParsedReply, reply: DNSReply) -> None:
    """Record a reply that a stub resolver would accept."""
    state.evidence.update(dict.fromkeys(parsed.evidence))
    state.replies.append(reply)
    if len(state.replies) == 1:
        state.settle(reply_failure(reply))


async def _over_udp(state: _LookupState, phase: Phase, pending: PendingLookup) -> None:
    request, route = state.request, state.route
    loop = asyncio.get_running_loop()
    deadline = loop.time() + request.wanted.timeout
    sock = await request.network.datagrams(route.address, route.port)
    try:
        listener = _Listener(state, sock)
        truncated = await listener.first_reply()
        if truncated:
            state.evidence["truncated"] = None
            over_tcp = ResolverRoute(route.id, "tcp", route.address, route.port)
            async with asyncio.timeout_at(deadline):
                await _over_connection(state, phase, over_tcp)
        pending.set_first(state.observation())
        if state.replies:
            await listener.later_replies(request.wanted.window)
    finally:
        sock.close()


class _Listener:
    """Sends one question over one UDP socket and reads what comes back."""

    __slots__ = ("_asked", "_believed", "_datagrams_read", "_edns", "_sock", "_state")

    def __init__(self, state: _LookupState, sock: Datagrams) -> None:
        self._state = state
        self._sock = sock
        self._asked: dict[int, tuple[Query, int]] = {}
        self._believed: int | None = None
        self._edns = not state.request.edns.drops(state.route.address)
        self._datagrams_read = 0

    async def first_reply(self) -> bool:
        """Record the first reply that a stub resolver would accept. Returns True when it is
        truncated and has to be fetched over TCP. Raises OSError (TimeoutError at the deadline)."""
        last, is_late = len(_WAIT_SHARES) - 1, True
        for number, part in enumerate(_WAIT_SHARES):
            # Silence may be that of a firewall which drops EDNS, or the large answers to it.
            await self._send(edns=self._edns and number != 1)
            try:
                with within(part * self._state.request.wanted.timeout):
                    return await self._first_valid()
            except TimeoutError as error:
                is_late = is_late and isinstance(error, MachineLateError)
                self._state.request.pending.doubt()
                if number < last:
                    self._state.evidence["sent_again"] = None
        if "malformed" in self._state.evidence or "oversized" in self._state.evidence:
            self._state.settle(Failure.DNS_MISBEHAVING)
            return False
        raise MachineLateError if is_late else TimeoutError

    async def _first_valid(self) -> bool:
        while True:
            identity, parsed = await self._receive()
            reply = parsed.reply
            if reply and reply.rcode == _FORMERR and self._edns:
                self._edns = False  # a server older than EDNS (RFC 6891 section 7)
                self._state.evidence["no_edns"] = None
                await self._send(edns=False)
                continue
            self._believed = identity
            self._remember(edns=self._asked[identity][0].edns)
            if parsed.truncated:
                return True
            if reply:
                _record_reply(self._state, parsed, reply)
                return False

    def _remember(self, *, edns: bool) -> None:
        """Learn for the round from the reply that was accepted."""
        if "no_edns" not in self._state.evidence:
            self._state.request.edns.answered(self._state.route.address, edns=edns)
            if not edns:
                self._state.evidence["without_edns"] = None

    async def later_replies(self, window: float) -> None:
        """Record every further reply to the accepted question until the window is over."""
        try:
            with within(window):
                await self._collect_later()
        except TimeoutError:
            pass

    async def _collect_later(self) -> None:
        while len(self._state.replies) < _MAX_REPLIES:
            try:
                identity, parsed = await self._receive()
            except TimeoutError:
                return  # a flood
            except OSError:
                self._datagrams_read += 1
                self._state.evidence["icmp_after_reply"] = None
                if self._datagrams_read >= _MAX_DATAGRAMS:
                    return
                continue
            if identity == self._believed and parsed.reply and not parsed.truncated:
                _record_reply(self._state, parsed, parsed.reply)

    async def _send(self, *, edns: bool) -> None:
        wanted = self._state.request.wanted
        question = build_query(wanted.name, wanted.qtype, edns=edns, unchecked=wanted.unchecked)
        self._asked[question.id] = (question, self._state.request.network.clock_us())
        await self._sock.send(question.payload)

    async def _receive(self) -> tuple[int, ParsedReply]:
        """Return the next datagram that answers one of our questions, and that question's id."""
        while self._datagrams_read < _MAX_DATAGRAMS:
            payload = await self._sock.receive()
            self._datagrams_read += 1
            identity = int.from_bytes(payload[:2], "big")
            if len(payload) < 12:
                self._state.evidence["malformed"] = None
            elif identity not in self._asked:
                self._state.evidence["wrong_id"] = None
            else:
                question, sent_us = self._asked[identity]
                parsed = parse_reply(
                    payload, question, self._state.request.network.clock_us() - sent_us
                )
                if parsed.matches:
                    if "sent_again" in self._state.evidence and identity == next(iter(self._asked)):
                        self._state.evidence["sent_again_answered"] = None
                    return identity, parsed
                self._state.evidence[parsed.fault] = None
        self._state.evidence["flood"] = None
        raise TimeoutError
