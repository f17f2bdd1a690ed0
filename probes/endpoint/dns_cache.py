# SPDX-License-Identifier: Apache-2.0
"""The lookups of one round. Every name is resolved once; endpoints and targets share the answers.

A lookup starts with its first user and runs in the round's task group, so that a second answer can
still arrive while connections are made. Here it is decided whom to ask: always the machine's own
resolver, one reference resolver beside it, and every reference resolver over every transport when
something is wrong. Answers are not judged here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from probes.endpoint.timeouts import Timeouts
from probes.net.dns_transport import KeptConnections
from probes.net.edns_memory import EDNSMemory
from probes.net.network import Network
from probes.net.resolvers import ResolverRoute, routes, silent_routes
from probes.steps.dns import (
    DOUBTFUL,
    UNANSWERED,
    PendingLookup,
    WantedLookup,
    begin_lookup,
)
from probes.wire.failure import Failure
from probes.wire.observation import PLAIN_PAYLOAD, Contrast, DNSLookup, Purpose
from probes.wire.target import Catalogue

QTYPES = ("A", "AAAA")
_AGAIN_PART = 1.75
"""Of the time limit, for the second try, all nameservers together: when it begins as the first
question is sent again, it ends after twice the limit, when glibc gives up (`options attempts:2`). A
name whose own servers answer slowly is in the resolver's cache by then."""
_MORE_TRIES = 4
"""More questions where the answers for the two query types leave it open whether the name exists: a
resolver that denies one in ten at random does so twice for three of 150 names in every round, and
six times for one in thousands of rounds."""
_DENIALS = (Failure.DNS_NXDOMAIN, Failure.DNS_NO_ANSWER)
MAX_REFERENCES = 3
"""Reference resolvers asked about a name that fails; each costs the volunteer two handshakes."""


@dataclass
class _Name:
    """The lookups of one name that have started."""

    system: dict[str, PendingLookup] = field(default_factory=dict)
    """By query type."""
    again: dict[str, PendingLookup] = field(default_factory=dict)
    """The same from a fresh port, once an answer is in doubt."""
    more: list[PendingLookup] = field(default_factory=list)
    """The same several times, where it is in doubt whether the name exists."""
    references: list[PendingLookup] = field(default_factory=list)
    unchecked: list[PendingLookup] = field(default_factory=list)
    """Where the resolver fails it: the same without its check of signatures."""
    silent: list[PendingLookup] = field(default_factory=list)
    innocuous: list[PendingLookup] = field(default_factory=list)
    """Of an innocuous name, once before and once after this one is asked again."""
    below: list[PendingLookup] = field(default_factory=list)
    """Of a name below this one that should not exist."""
    asked_below: bool = False
    beside_usual: bool = False
    """It is compared with how the machine's own resolver answers for a name that nobody has."""
    asked: set[tuple[str, ResolverRoute]] = field(default_factory=set)
    """Questions to reference resolvers."""
    widened: bool = False

    def all(self) -> Iterable[PendingLookup]:
        tried = (*self.system.values(), *self.again.values(), *self.more, *self.unchecked)
        return (*tried, *self.references, *self.silent, *self.innocuous, *self.below)


class DNSCache:
    """Starts the lookups of one round and shares their answers."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        network: Network,
        catalogue: Catalogue,
        system: tuple[ResolverRoute, ...],
        timeouts: Timeouts,
    ) -> None:
        self._group = group
        self._network = network
        self._system = system
        self._timeouts = timeouts
        self._started_us = network.clock_us()
        references = [r for r in catalogue.resolvers if r.role == "reference"]
        self._references = tuple(routes(r) for r in references[:MAX_REFERENCES])
        self._silent = silent_routes(catalogue)[:1]
        self._innocuous = catalogue.sni.innocuous
        self._names: dict[str, _Name] = {}
        self._usual_denials: asyncio.Task[list[PendingLookup]] | None = None
        self._usual_silence: list[PendingLookup] | None = None
        self._kept = KeptConnections()
        self._edns = EDNSMemory()

    def close(self) -> None:
        """Close the connections to resolvers; lookups that are not finished open their own."""
        self._kept.close()

    async def system(self, name: str, *, compare: bool = True) -> tuple[str, ...]:
        """Return the addresses that the machine's own resolver gives, IPv4 first.

        With `compare` one reference resolver and a silent address are asked at the same time;
        without it, nothing is read after the first answer.
        """
        entry = self._names.setdefault(name, _Name())
        if not entry.system and self._system:
            for qtype in QTYPES:
                entry.system[qtype] = self._begin(
                    name,
                    qtype,
                    self._system,
                    Purpose.SUBJECT,
                    listen=compare,
                    on_doubt=partial(self._ask_again, entry, name, qtype, compare),
                )
        if compare and not entry.references and not entry.silent:
            cheapest = next((way for ways in self._references for way in ways), None)
            if cheapest is not None:
                self._ask_reference(entry, name, "A", cheapest)
            entry.silent = [self._at_silence(name, way) for way in self._silent]
        answered = [await self._answer(entry, qtype) for qtype in entry.system]
        if compare and not entry.more and (doubted := _unsettled(answered)):
            self._ask_innocuous(entry, name)
            entry.more = [self._repeat(name, doubted) for _ in range(_MORE_TRIES)]
            self._ask_innocuous(entry, name)
        answered += [await pending.first() for pending in entry.more]
        return tuple(dict.fromkeys(address for each in answered for address in each.answers))

    async def _answer(self, entry: _Name, qtype: str) -> DNSLookup:
        """The first try or, when its answer is doubtful, the second."""
        first = await entry.system[qtype].first()
        if first.failure in DOUBTFUL and qtype in entry.again:
            first = await entry.again[qtype].first()
        return first

    def _ask_again(self, entry: _Name, name: str, qtype: str, compare: bool) -> None:
        """Ask from a fresh port, because a table of connections may be full or a packet lost; and
        with `compare` an innocuous name beside it, before and after: a resolver that limits its
        queries or is faulty fails that one as well."""
        beside = compare and not entry.innocuous
        if beside:
            self._ask_innocuous(entry, name)
        entry.again[qtype] = self._repeat(name, qtype, listen=compare)
        if beside:
            self._ask_innocuous(entry, name)
        entry.again[qtype].relay(entry.system[qtype])

    def _repeat(self, name: str, qtype: str, *, listen: bool = True) -> PendingLookup:
        why, kind = Purpose.SUBJECT, Contrast.REPEAT
        part = _AGAIN_PART * self._timeouts.dns / len(self._system)
        return self._begin(name, qtype, self._system, why, kind, listen=listen, timeout=part)

    def _ask_innocuous(self, entry: _Name, name: str) -> None:
        why, kind = Purpose.CONTRAST, Contrast.INNOCUOUS_NAME
        if self._innocuous not in ("", name):
            entry.innocuous.append(
                self._begin(self._innocuous, "A", self._system, why, kind, listen=False)
            )

    async def references(self, name: str, *, widen: bool = False) -> tuple[str, ...]:
        """Return the addresses that reference resolvers give: the one already asked, or with
        `widen` all of them over UDP, TCP, DoT and DoH."""
        entry = self._names.setdefault(name, _Name())
        if widen and not entry.widened:
            entry.widened = True
            for way in (way for ways in self._references for way in ways):
                self._ask_reference(entry, name, "A", way)
            for way in self._clear_and_encrypted():  # the name is the same
                self._ask_reference(entry, name, "AAAA", way)
        found = await _answers(entry.references)
        if entry.widened:
            await self._ask_below(entry, name, found)
        return found

    async def doubt(self, name: str) -> None:
        """An answer of the machine's own resolver leads to somebody else: who else answers so?"""
        entry = self._names.setdefault(name, _Name())
        await self._ask_below(entry, name, await _answers(entry.references))

    async def _ask_below(self, entry: _Name, name: str, others: Collection[str]) -> None:
        """Where others give other addresses, ask once for a name below that should not exist. Who
        forges a name mostly forges all below it, and nobody knows the address of a made-up name;
        an answer that is right here alone, or was until lately, is no answer for that one."""
        own = {qtype: await self._answer(entry, qtype) for qtype in entry.system}
        asked = [await pending.first() for pending in entry.references]
        if entry.asked_below or not (others and own):
            return
        doubted = [qtype for qtype in own if _differs(own[qtype], asked)]
        entry.asked_below = bool(doubted) or not any(answer.answers for answer in own.values())
        if not entry.asked_below:
            return
        if not doubted:
            self._ask_of_failure(entry, name, own, asked)
        made_up = _made_up(name)
        for qtype in doubted:
            entry.below.append(self._begin_below(made_up, qtype, self._system))
            if given := (await entry.below[-1].first()).answers:
                if set(given).isdisjoint(own[qtype].answers):
                    self._compare_with_usual(entry)
                ways = self._clear_and_encrypted()
                entry.below += [self._begin_below(made_up, qtype, way) for way in ways]

    def _ask_of_failure(
        self, entry: _Name, name: str, own: dict[str, DNSLookup], references: Iterable[DNSLookup]
    ) -> None:
        """Where the resolver denies a name, how does it deny others? Where it fails one, large
        answers get lost whatever the name, and one below has a small answer; and after a SERVFAIL,
        does the name pass without a check of its signatures?"""
        failed = [qtype for qtype in own if own[qtype].failure in UNANSWERED]
        denied = all(answer.failure in _DENIALS for answer in own.values())
        if denied or (failed and any(q.most_bytes > PLAIN_PAYLOAD for q in references)):
            qtype = QTYPES[0] if denied else failed[0]
            entry.below.append(self._begin_below(_made_up(name), qtype, self._system))
        if denied:
            self._compare_with_usual(entry)
        elif failed and own[failed[0]].failure == Failure.DNS_SERVFAIL:
            entry.unchecked.append(self._ask_unchecked(name, failed[0]))

    def _begin_below(
        self, made_up: str, qtype: str, via: ResolverRoute | tuple[ResolverRoute, ...]
    ) -> PendingLookup:
        return self._begin(made_up, qtype, via, Purpose.CONTRAST, Contrast.NAME_BELOW)

    def _compare_with_usual(self, entry: _Name) -> None:
        entry.beside_usual = True
        if self._usual_denials is None:
            self._usual_denials = self._group.create_task(self._ask_nobodys_name())

    async def _ask_nobodys_name(self) -> list[PendingLookup]:
        """Ask once a round how the machine's own resolver denies a name that nobody forbids: a
        made-up one below the innocuous one, and again when a device at home may have kept it."""
        asked: list[PendingLookup] = []
        if self._innocuous:
            made_up = _made_up(self._innocuous)
            why, kind = Purpose.CONTRAST, Contrast.NAME_BELOW
            for _ in range(2):
                asked.append(self._begin(made_up, QTYPES[0], self._system, why, kind, listen=False))
                await asked[-1].first()
        return asked

    def _ask_unchecked(self, name: str, qtype: str) -> PendingLookup:
        why, kind = Purpose.CONTRAST, Contrast.REPEAT
        return self._begin(name, qtype, self._system, why, kind, listen=False, unchecked=True)

    def _ask_silence(self) -> list[PendingLookup]:
        """Ask the silent address once a round, and again in case a packet is lost, for a name that
        nobody forbids. Networks that lead every query to their own resolver, as many routers do,
        answer that one there as well."""
        if self._usual_silence is None:
            ways = self._silent * 2 if self._innocuous else ()
            self._usual_silence = [self._at_silence(self._innocuous, way) for way in ways]
        return self._usual_silence

    def _at_silence(self, name: str, way: ResolverRoute) -> PendingLookup:
        return self._begin(name, "A", way, Purpose.CONTRAST, Contrast.SILENT_ADDRESS)

    def _clear_and_encrypted(self) -> list[ResolverRoute]:
        """The ways to ask one reference resolver over UDP and over DoH."""
        ways = self._references[0] if self._references else ()
        return [way for way in ways if way.transport in ("udp", "doh")]

    async def encrypted(self, name: str) -> tuple[str, ...]:
        """Return the addresses that one reference resolver gives over DoH, or over DoT when none
        has DoH: nobody on the path can answer in its place."""
        entry = self._names.setdefault(name, _Name())
        every = [way for ways in self._references for way in ways]
        for transport in ("doh", "dot"):
            way = next((way for way in every if way.transport == transport), None)
            if way is not None:
                self._ask_reference(entry, name, "A", way)
                break
        found = await _answers(entry.references)
        await self._ask_below(entry, name, found)
        return found

    async def injected(self, name: str) -> bool:
        """Whether the silent address has answered by now. An injected answer comes at once, so
        this does not wait."""
        for pending in self._names.get(name, _Name()).silent:
            try:
                async with asyncio.timeout(0):
                    if (await pending.first()).replies:
                        return True
            except TimeoutError:
                pass
        return False

    def _ask_reference(self, entry: _Name, name: str, qtype: str, way: ResolverRoute) -> None:
        """Ask once, unless nobody could be connected to there lately: what is blocked is shown by a
        few names, and each further attempt costs a handshake."""
        if (qtype, way) not in entry.asked and not self._kept.gave_up(way):
            entry.asked.add((qtype, way))
            entry.references.append(self._begin(name, qtype, way, Purpose.REFERENCE))

    def widened(self, name: str) -> bool:
        """Whether all reference resolvers have been asked about this name."""
        return name in self._names and self._names[name].widened

    async def observations(self, name: str, endpoint: str, started_us: int) -> list[DNSLookup]:
        """Return every lookup of the name so far, as observations of this endpoint.

        Waits for the listening windows to end. A lookup that another endpoint started before this
        measurement is dated to its start.
        """
        entry = self._names.get(name, _Name())
        finished = [await pending.finish() for pending in entry.all()]
        if entry.beside_usual and self._usual_denials is not None:
            usual = await asyncio.shield(self._usual_denials)
            finished += [await pending.finish() for pending in usual]
        if any(lookup.replies for lookup in finished if lookup.contrast is Contrast.SILENT_ADDRESS):
            finished += [await pending.finish() for pending in self._ask_silence()]
        shift = self._started_us - started_us
        return [
            msgspec.structs.replace(lookup, endpoint=endpoint, at_us=max(lookup.at_us + shift, 0))
            for lookup in finished
        ]

    def _begin(
        self,
        name: str,
        qtype: str,
        via: ResolverRoute | tuple[ResolverRoute, ...],
        purpose: Purpose,
        contrast: Contrast | None = None,
        *,
        listen: bool = True,
        timeout: float | None = None,
        on_doubt: Callable[[], None] | None = None,
        unchecked: bool = False,
    ) -> PendingLookup:
        # Nobody answers at a silent address: only the window is waited for.
        silent = contrast is Contrast.SILENT_ADDRESS
        wanted = WantedLookup(
            endpoint="",
            name=name,
            qtype=qtype,
            started_us=self._started_us,
            purpose=purpose,
            contrast=contrast,
            window=self._timeouts.window if listen else 0.0,
            timeout=self._timeouts.window if silent else timeout or self._timeouts.dns,
            unchecked=unchecked,
        )
        return begin_lookup(
            self._group, self._network, wanted, via, on_doubt, self._kept, self._edns
        )


def _unsettled(answered: Sequence[DNSLookup]) -> str | None:
    """A query type that has to be asked more often before its answer is believed: the name does not
    exist for this one and does for the other, or exists and has no address of either. None when
    the name is denied, or answered, as a whole."""
    ends = {each.failure: each.qtype for each in reversed(answered)}
    exists = None in ends or Failure.DNS_NO_ANSWER in ends
    if exists and Failure.DNS_NXDOMAIN in ends:
        return ends[Failure.DNS_NXDOMAIN]
    return None if None in ends else ends.get(Failure.DNS_NO_ANSWER)


def _made_up(name: str) -> str:
    """Return a name below that should not exist."""
    return f"{secrets.token_hex(5)}.{name}"


def _differs(own: DNSLookup, references: Iterable[DNSLookup]) -> bool:
    """Whether a reference resolver gives addresses, and none of these. Who answers in place of one
    over UDP does not answer in place of all."""
    return bool(own.answers) and any(
        each.qtype == own.qtype and each.answers and not set(each.answers) & set(own.answers)
        for each in references
    )


async def _answers(lookups: Iterable[PendingLookup]) -> tuple[str, ...]:
    """Addresses that a stub resolver would accept, in the order of asking, without repeats."""
    first = [await pending.first() for pending in tuple(lookups)]
    return tuple(dict.fromkeys(address for lookup in first for address in lookup.answers))
