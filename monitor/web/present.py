# SPDX-License-Identifier: Apache-2.0
"""The present, kept in memory: open events, states of targets in networks, vantages.

Each is read again only when it has changed: what is concluded when the number of its service has
grown (`monitor.store.reading.newest.revisions`), vantages after a few seconds. A web server does so
while nobody asks, so that nobody waits; it need not be the detector's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar
from weakref import WeakKeyDictionary

import msgspec

from monitor.detection.events.present import (
    SILENT,
    LatestVerdict,
    PresentState,
    states_in_order,
)
from monitor.detection.model import Event, State, Votes
from monitor.store.cells import Where
from monitor.store.database import Database
from monitor.store.engines import ReadTransaction
from monitor.store.reading.events import list_events
from monitor.store.reading.newest import newest_verdicts, revisions
from monitor.store.reading.vantages import (
    ClockReading,
    VantageRow,
    clock_readings,
    list_vantages,
    public_origins,
)
from monitor.store.records import Filter, StoreUnavailableError
from monitor.store.shared_transactions import Queued
from probes.wire.measurement import service_of

K = TypeVar("K")
KEEP_SECONDS = 1.0
"""What was concluded is looked up this often, also when nobody asks."""
MAX_AGE_SECONDS = 3.0
"""Whoever asks waits for what was looked up longer ago than this."""
VANTAGES_SECONDS = 2.0
"""Vantages report all the time: they are read at most this often."""
CLOCKS_SECONDS = 10.0
"""What liveness measurements say about the clocks of vantages is read at most this often."""
MAX_EVENTS = 1000
"""Open events that pages and metrics show."""


class ServicePresent(msgspec.Struct, frozen=True, kw_only=True):
    """The newest verdicts on one service."""

    number: int
    """Of its conclusions, from `revisions`."""
    oldest: int
    """Oldest round among the verdicts; they are read again when it is the present no more."""
    newest: int | None = None
    """Newest round among them, which is the newest that was ever judged."""
    states: Sequence[PresentState] = ()
    """By target, country, network."""
    by_country: Mapping[str, Sequence[PresentState]] = {}
    by_network: Mapping[int, Sequence[LatestVerdict]] = {}
    """The verdicts themselves, in the same order."""
    kinds: Mapping[str, frozenset[State]] = {}
    """Which states there are, by country."""
    reached: Mapping[str, int] = {}
    """How many functions are reachable in a network, by country."""
    offline: frozenset[str] = frozenset()
    """Probes with a verdict that says that the vantage was offline."""
    heard: frozenset[str] = frozenset()
    """Probes with any other verdict."""


def _grouped(
    rows: Iterable[VantageRow], key: Callable[[VantageRow], K]
) -> dict[K, list[VantageRow]]:
    groups: dict[K, list[VantageRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def service_present(number: int, verdicts: Sequence[LatestVerdict]) -> ServicePresent:
    """Sum up the newest verdicts on a service, sorted as `newest_verdicts` gives them."""
    states = states_in_order(verdicts)
    by_country: dict[str, list[PresentState]] = defaultdict(list)
    for row in states:
        by_country[row.country].append(row)
    by_network: dict[int, list[LatestVerdict]] = defaultdict(list)
    for each in verdicts:
        by_network[each.asn].append(each)
    off = State.VANTAGE_OFFLINE
    return ServicePresent(
        number=number,
        oldest=min((each.round for each in verdicts), default=2**63),
        newest=max((each.round for each in verdicts), default=None),
        states=states,
        by_country=by_country,
        by_network=by_network,
        kinds={place: frozenset(row.state for row in rows) for place, rows in by_country.items()},
        reached={
            place: len({row.target for row in rows if row.state is State.OK})
            for place, rows in by_country.items()
        },
        offline=frozenset(each.probe for each in verdicts if each.verdict.state is off),
        heard=frozenset(each.probe for each in verdicts if each.verdict.state is not off),
    )


def offline_now(services: Collection[ServicePresent]) -> frozenset[str]:
    """Probes whose newest verdicts all say that they were offline."""
    silent = frozenset[str]().union(*(service.offline for service in services))
    return silent.difference(*(service.heard for service in services))


class Present(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is known at one moment."""

    revision: int
    """Another one whenever anything else here differs, vantages and clock excepted."""
    services: Mapping[str, ServicePresent] = {}
    opened: Sequence[Event] = ()
    """Open events, newest onset first."""
    vantages: Sequence[VantageRow] = ()
    """Every probe that ever enrolled, by country, network and id."""
    origins: Mapping[str, tuple[str, str, int]] = {}
    """Source, country and network of what stands for others' measurements, by probe."""
    offsets: Mapping[str, int] = {}
    """Clock error in milliseconds by probe, where it is known."""
    offline: frozenset[str] = frozenset()
    """Probes whose newest verdicts all say that they were offline."""
    conclusions: int | None = None
    """How often something was concluded of any service until then: whatever is shown of the same
    number is of the same moment, on every server of a store. None of a moment of the past."""
    reconstructed: frozenset[str] = frozenset()
    """Of a moment of the past: events of which only state and tier are of then."""
    unpublished: frozenset[str] = frozenset()
    """Of a moment of the past: events that were never published, and are as now."""

    @functools.cached_property
    def sources(self) -> frozenset[str]:
        """Names of others whose measurements are stored."""
        return frozenset(source for source, *_place in self.origins.values())

    @functools.cached_property
    def vantages_by_country(self) -> Mapping[str, Sequence[VantageRow]]:
        """By country, in their order."""
        return _grouped(self.vantages, attrgetter("country"))

    @functools.cached_property
    def vantages_by_network(self) -> Mapping[int, Sequence[VantageRow]]:
        """By network, in their order."""
        return _grouped(self.vantages, attrgetter("asn"))

    @functools.cached_property
    def vantages_by_id(self) -> Mapping[str, VantageRow]:
        """By id."""
        return {row.id: row for row in self.vantages}

    @functools.cached_property
    def measured_by_others(self) -> frozenset[str]:
        """The countries in which they measure."""
        return frozenset(country for _source, country, _asn in self.origins.values())

    @functools.cached_property
    def newest_rounds(self) -> Mapping[str | None, int]:
        """The newest judged round, Unix ms, of each service that has one in the present; of all
        services together by None."""
        rounds: dict[str | None, int] = {
            name: of.newest for name, of in self.services.items() if of.newest is not None
        }
        return rounds | {None: max(rounds.values())} if rounds else rounds

    @functools.cached_property
    def _networks_of_others(self) -> frozenset[tuple[str, int]]:
        return frozenset((country, asn) for _source, country, asn in self.origins.values())

    def kinds(self) -> Mapping[tuple[str, str], frozenset[State]]:
        """Which states there are, by service and country."""
        return {
            (name, place): states
            for name, service in self.services.items()
            for place, states in service.kinds.items()
        }

    @functools.cached_property
    def reached(self) -> Mapping[tuple[str, str], int]:
        """How many functions of a service are reachable in a network of a country."""
        return {
            (name, place): n
            for name, service in self.services.items()
            for place, n in service.reached.items()
        }

    def states(self, chosen: Filter = Filter()) -> Sequence[PresentState]:  # noqa: B008 - frozen
        """States of targets in networks, by target, country and network. The filter's times are
        not used."""
        names = [chosen.service] if chosen.service is not None else sorted(self.services)
        if chosen.target is not None:
            names = [name for name in names if name == service_of(chosen.target)]
        found: list[PresentState] = []
        for name in names:
            if (service := self.services.get(name)) is None:
                continue
            found += (
                service.states
                if chosen.country is None
                else service.by_country.get(chosen.country, ())
            )
        if chosen.target is None and chosen.asn is None:
            return found
        return [
            row
            for row in found
            if chosen.target in (None, row.target) and chosen.asn in (None, row.asn)
        ]

    def is_watched(self, event: Event) -> bool:
        """Whether something that an event is about is measured in its networks now."""
        return any(
            row.asn in event.asns and row.target in event.targets
            for row in self.states(Filter(service=event.service, country=event.country))
        )

    def runs_of_others(self, row: PresentState) -> Votes:
        """How many newest measurements of others a state counts among its vantages, and how many of
        them say it: of others it is not known whose they are."""
        if (row.country, row.asn) not in self._networks_of_others:
            return Votes()
        told = [
            one.verdict.state
            for one in self.services[service_of(row.target)].by_network[row.asn]
            if one.probe in self.origins and (one.target, one.country) == (row.target, row.country)
        ]
        conclusive = [state for state in told if state not in SILENT]
        return Votes(conclusive.count(row.state), len(conclusive))

    def verdicts(self, asn: int) -> Sequence[LatestVerdict]:
        """The newest verdict of each vantage of a network on each target, by target."""
        return [
            one
            for _, service in sorted(self.services.items())
            for one in service.by_network.get(asn, ())
        ]


class PresentReader:
    """Keeps the `Present` of a store. `since` gives the first round (Unix ms) that counts as the
    present; `max_seconds` limits the age of everything, 0 for none."""

    def __init__(
        self,
        database: Database,
        since: Callable[[], int],
        max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._since, self._clock = database, since, clock
        self._max_seconds = min(MAX_AGE_SECONDS, max_seconds)
        self._vantages_seconds = min(VANTAGES_SECONDS, max_seconds)
        self._present = Present(revision=0)
        self._clocks_seconds = min(CLOCKS_SECONDS, max_seconds)
        self._services: dict[str, ServicePresent] = {}
        self._places: dict[int, Where] = {}
        self._changed = False
        """Whether services were read again since `_present` was made."""
        self._clocks: Mapping[str, ClockReading] = {}
        self._checked = self._listed = self._timed = float("-inf")
        self._turn = asyncio.Lock()
        self._seen = WeakKeyDictionary[ReadTransaction, Present]()
        """What the transactions of `reading` see."""

    async def keep(self) -> None:
        """Read what changes until cancelled, so that nobody waits for it."""
        while True:
            with contextlib.suppress(StoreUnavailableError):  # whoever asks is told
                await self._read()
            await asyncio.sleep(KEEP_SECONDS)

    async def get(self) -> Present:
        """The present, read from the store as far as it has changed where it was last looked up
        some seconds ago. Raises StoreUnavailableError."""
        if not self._is_young(self._checked, self._max_seconds):
            await self._read()
        return self._present

    @contextlib.asynccontextmanager
    async def reading(
        self, queued: Queued | None = None
    ) -> AsyncIterator[tuple[ReadTransaction, Present]]:
        """A transaction, and the present that it sees; in the block, whatever the task reads is of
        this moment. The transaction of a request that has `queued` may be another one's, begun
        after this one had arrived. Raises StoreUnavailableError."""
        async with contextlib.AsyncExitStack() as stack:
            async with self._turn:
                connection = await stack.enter_async_context(self._database.together(queued))
                if connection not in self._seen:
                    # The first that the transaction reads, and so its moment.
                    await self._refresh(connection)
                    self._seen[connection] = self._present
            yield connection, self._seen[connection]

    async def _read(self) -> None:
        # One request reads, the others wait for it. When its client goes away, so does its
        # statement, and the next one reads.
        asked = self._clock()
        async with self._turn:
            if self._checked < asked:
                async with self._database.reading() as connection:
                    await self._refresh(connection)

    def last_read(self) -> Present:
        """The present as it was last read. Whoever has a transaction takes this one: to wait for
        another with it in hand, while others wait for theirs, could last for ever."""
        return self._present

    def revision(self) -> int:
        """That of the present as it was last read."""
        return self._present.revision

    def forget_vantages(self) -> None:
        """Read the vantages anew when they are next wanted."""
        self._checked = self._listed = float("-inf")

    def expire(self) -> None:
        """Look up anew, when the present is next wanted, what has been concluded."""
        self._checked = float("-inf")

    def _is_young(self, at: float, seconds: float) -> bool:
        return self._clock() - at < seconds

    async def _refresh(self, connection: ReadTransaction) -> None:
        began, since = self._clock(), self._since()
        numbers = await revisions(connection)
        before = self._present
        # What was read stays, also when whoever asked for it goes away in the middle.
        services = self._services
        changed = self._changed = (
            self._changed or not before.revision or not services.keys() <= numbers.keys()
        )
        for name in services.keys() - numbers.keys():
            del services[name]
        opened, offline = before.opened, before.offline
        for name, number in numbers.items():
            known = services.get(name)
            if known is None or known.number != number or known.oldest < since:
                verdicts = await newest_verdicts(connection, name, since, self._places)
                # In a thread: a large service takes 60 ms, in which others get their answers.
                services[name] = await asyncio.to_thread(service_present, number, verdicts)
                changed = self._changed = True
        vantages, origins = before.vantages, before.origins
        same = not changed
        if not self._is_young(self._listed, self._vantages_seconds):
            same = False
            vantages = await list_vantages(connection)
            origins = await public_origins(connection)
            self._listed = began
        if not self._is_young(self._timed, self._clocks_seconds):
            same = False
            self._clocks = await clock_readings(connection, since, self._clocks)
            self._timed = began
        if changed:
            opened = await list_events(connection, state="open", limit=MAX_EVENTS)
            offline = offline_now(services.values())
        self._checked, self._changed = began, False
        if same:  # and with it what was computed of it
            return
        self._present = Present(
            revision=before.revision + changed,
            services=dict(services),
            opened=opened,
            conclusions=sum(numbers.values()),
            vantages=vantages,
            origins=origins,
            offsets={
                probe: one.offset for probe, one in self._clocks.items() if one.offset is not None
            },
            offline=offline,
        )
