# SPDX-License-Identifier: Apache-2.0
"""One round: liveness first, then the targets in jittered order, and one Measurement of each.

Whatever one endpoint does (hangs, drips bytes for ever, meets a bug of ours) the others go on:
each has a deadline, and the whole round has one that can be told beforehand. What is measured
is handed to `emit`; numbering and keeping it is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from probes.contrasts.throughput_schedule import ThroughputSchedule
from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.endpoint_run import EndpointRun, ThroughputMode
from probes.endpoint.size_limits import fit_size_limits
from probes.endpoint.timeouts import Timeouts
from probes.net.limits import within
from probes.net.network import Network
from probes.net.resolvers import ResolverRoute
from probes.protocols import registry
from probes.rounds.last_failures import failed_endpoints as failed_endpoints
from probes.rounds.liveness import clock_offset_ms, liveness_targets, reached_anything
from probes.wire.measurement import (
    VERSION,
    Measurement,
    Software,
    Vantage,
)
from probes.wire.observation import AnyObservation
from probes.wire.target import Catalogue, Target

log = logging.getLogger(__name__)

CONCURRENCY = 8
"""Endpoints at once: with more the event loop lags and the times measured are its own."""
LISTENING = 2
"""Targets under way for each of those, their lookups' windows included: each costs some 140 kB.
With one alone the windows could outlast `round_bound_seconds`."""
UNSTAMPED = "0" * 32
Emit = Callable[[Measurement], Awaitable[None] | None]
Stamp = Callable[[Measurement], Measurement]


@dataclass(frozen=True)
class Setup:
    """What stays the same from round to round."""

    network: Network
    catalogue: Catalogue
    vantage: Vantage
    software: Software
    probe: str
    system: tuple[ResolverRoute, ...]
    """The machine's own nameservers (`probes.net.resolvers.system_routes`)."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    throughput_schedule: ThroughputSchedule = field(default_factory=ThroughputSchedule)
    """What is remembered from round to round of each endpoint's speed."""


@dataclass
class _Round:
    """What the measurements of one round share."""

    setup: Setup
    dns_cache: DNSCache
    round_ms: int
    interval_ms: int
    history: Mapping[str, int]
    slots: asyncio.Semaphore
    listening: asyncio.Semaphore
    """Targets that are being measured or whose lookups still listen for second answers."""
    closes_at: float
    """Time of the event loop after which no endpoint begins."""
    online: bool = True
    """False when no liveness host could even be connected to: then nothing is contrasted, for
    there is nothing to tell apart, and the round ends sooner."""
    clock_offset_ms: int | None = None
    dates_ms: list[tuple[int, int]] = field(default_factory=list)


def round_bound_seconds(
    catalogue: Catalogue,
    targets: Sequence[Target] | None = None,
    *,
    concurrency: int = CONCURRENCY,
    limit_seconds: float | None = None,
    timeouts: Timeouts | None = None,
) -> float:
    """Return the longest that a round may take, in seconds, whatever the network does."""
    chosen = catalogue.targets if targets is None else targets
    rows = [-(-len(catalogue.liveness) // concurrency)]
    rows.append(-(-sum(len(target.endpoints) for target in chosen) // concurrency))
    timeouts = timeouts or Timeouts()
    limit = timeouts.round if limit_seconds is None else limit_seconds
    work = sum((n + 1) * timeouts.endpoint for n in rows if n)
    return min(work, limit + timeouts.endpoint) + timeouts.dns_tail if work else 0.0


async def measure_round(
    setup: Setup,
    targets: Sequence[Target],
    *,
    round_ms: int,
    interval_ms: int,
    emit: Emit,
    rng: random.Random,
    history: Mapping[str, int] | None = None,
    concurrency: int = CONCURRENCY,
    limit_seconds: float | None = None,
    stamp: Stamp | None = None,
) -> None:
    """Measure liveness, then every target once, and emit each Measurement as it is complete.

    `round_ms` is the round's start in Unix milliseconds, `interval_ms` 0 for a single run.
    `history` says which endpoints (by id) failed in the last round, and when: see
    `failed_endpoints`.
    No endpoint begins after `limit_seconds`, by default those of the setup's patience.
    `stamp` numbers a measurement; without it id, epoch and sequence are blank.
    """
    order = list(targets)
    rng.shuffle(order)
    async with asyncio.TaskGroup() as lookups:
        this = _begin(setup, lookups, round_ms, interval_ms, history, concurrency, limit_seconds)
        for measurement in await _measure_liveness(this, rng):
            await _hand_over(measurement, emit, stamp)
        waiting = iter(order)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(order))):
                workers.create_task(_work(this, waiting, workers, emit, stamp))


async def measure_liveness(
    setup: Setup, *, round_ms: int, interval_ms: int, rng: random.Random
) -> tuple[Measurement, ...]:
    """Measure liveness alone: international, and domestic where this country has hosts for it."""
    async with asyncio.TaskGroup() as lookups:
        this = _begin(setup, lookups, round_ms, interval_ms)
        return await _measure_liveness(this, rng)


async def measure_target(
    setup: Setup,
    target: Target,
    *,
    round_ms: int,
    interval_ms: int,
    history: Mapping[str, int] | None = None,
    retest: bool = False,
    clock_offset_ms: int | None = None,
) -> Measurement:
    """Measure one target now. A retest shows the service's name once, from a fresh port, with
    no contrasts, so that it does not meet the censor's residual blocking of its own making."""
    async with asyncio.TaskGroup() as lookups:
        this = _begin(setup, lookups, round_ms, interval_ms, history)
        this.clock_offset_ms = clock_offset_ms
        return await _measure(this, target, retest=retest)


async def measure_again(
    setup: Setup,
    targets: Sequence[Target],
    *,
    round_ms: int,
    interval_ms: int,
    emit: Emit,
    rng: random.Random,
) -> None:
    """Measure liveness and a few targets, each as a retest (see `measure_target`), because the
    detector asked for them: all at once, for somebody waits."""
    async with asyncio.TaskGroup() as lookups:
        this = _begin(setup, lookups, round_ms, interval_ms)
        async with asyncio.TaskGroup() as group:
            alive = group.create_task(_measure_liveness(this, rng))
            tasks = [group.create_task(_measure(this, t, retest=True)) for t in targets]
        for measurement in alive.result():
            await _hand_over(measurement, emit, None)
        for task in tasks:
            told = msgspec.structs.replace(task.result(), clock_offset_ms=this.clock_offset_ms)
            await _hand_over(told, emit, None)


def _begin(
    setup: Setup,
    lookups: asyncio.TaskGroup,
    round_ms: int,
    interval_ms: int,
    history: Mapping[str, int] | None = None,
    concurrency: int = CONCURRENCY,
    limit_seconds: float | None = None,
) -> _Round:
    timeouts = setup.timeouts
    limit = timeouts.round if limit_seconds is None else limit_seconds
    return _Round(
        setup=setup,
        dns_cache=DNSCache(lookups, setup.network, setup.catalogue, setup.system, timeouts),
        round_ms=round_ms,
        interval_ms=interval_ms,
        history=history or {},
        slots=asyncio.Semaphore(concurrency),
        listening=asyncio.Semaphore(concurrency * LISTENING),
        closes_at=asyncio.get_running_loop().time() + limit,
    )


async def _work(
    this: _Round,
    waiting: Iterator[Target],
    group: asyncio.TaskGroup,
    emit: Emit,
    stamp: Stamp | None,
) -> None:
    """Take targets until none is left or the round's time is over. The next one need not wait
    until the last one's lookups have listened for second answers."""

    async def finish(visited: _Visited) -> None:
        closed = await _close(this, visited)
        this.listening.release()
        await _hand_over(closed, emit, stamp)

    for target in waiting:
        if asyncio.get_running_loop().time() >= this.closes_at:
            log.warning("%s: not measured, the round's time is over", target.id)
            continue
        await this.listening.acquire()
        visited = await _open(this, target)
        if any(endpoint.host for endpoint in target.endpoints):
            group.create_task(finish(visited))
        else:  # no lookup, so nothing to wait for
            await finish(visited)


async def _hand_over(measurement: Measurement, emit: Emit, stamp: Stamp | None) -> None:
    outcome = emit(stamp(measurement) if stamp else measurement)
    if outcome is not None:
        await outcome


async def _measure_liveness(this: _Round, rng: random.Random) -> tuple[Measurement, ...]:
    """Measure both scopes at once; the dates seen on the way set the round's clock offset."""
    hosts = list(this.setup.catalogue.liveness)
    rng.shuffle(hosts)
    wanted = liveness_targets(hosts, this.setup.vantage.country)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_measure(this, t, liveness=True)) for t in wanted]
    this.clock_offset_ms = clock_offset_ms(this.dates_ms)
    this.online = not tasks or any(reached_anything(task.result()) for task in tasks)
    return tuple(
        msgspec.structs.replace(task.result(), clock_offset_ms=this.clock_offset_ms)
        for task in tasks
    )


async def _measure(
    this: _Round, target: Target, *, liveness: bool = False, retest: bool = False
) -> Measurement:
    return await _close(this, await _open(this, target, liveness=liveness, retest=retest))


def _cooling(this: _Round, endpoint: str, now_ms: int) -> bool:
    """The endpoint failed so lately that a censor may still be at it, whatever the name."""
    since = now_ms - this.history.get(endpoint, 0)
    return since < this.setup.timeouts.residual * 1000


@dataclass(frozen=True)
class _Visited:
    """A target whose endpoints are done; its lookups may still be listening."""

    target: Target
    visits: tuple[EndpointRun, ...]
    started: int
    started_us: int
    took_us: int
    retest: bool


async def _open(
    this: _Round, target: Target, *, liveness: bool = False, retest: bool = False
) -> _Visited:
    """Measure the endpoints of one target side by side."""
    network = this.setup.network
    started, started_us = network.wall_ms(), network.clock_us()
    plain = liveness or retest or not this.online
    visits = tuple(
        EndpointRun(
            network=network,
            endpoint=endpoint,
            dns_cache=this.dns_cache,
            started_us=started_us,
            timeouts=this.setup.timeouts,
            sni=this.setup.catalogue.sni,
            failed_last_round=not plain and bool(this.history.get(endpoint.id)),
            residual=_cooling(this, endpoint.id, started),
            contrasts=not plain,
            repeats=not retest,
            references=not liveness and this.online,
            throughput=ThroughputMode.OFF
            if liveness or not this.online
            else this.setup.throughput_schedule.mode(
                endpoint.id, this.round_ms, this.interval_ms, retest=retest
            ),
        )
        for endpoint in target.endpoints
    )
    async with asyncio.TaskGroup() as group:
        for visit in visits[1:]:
            group.create_task(_visit(this, visit, target.id))
        if visits:  # the task that waits for the others does one itself
            await _visit(this, visits[0], target.id)
    if liveness:
        this.dates_ms += [pair for visit in visits for pair in visit.dates_ms]
    took_us = network.clock_us() - started_us
    return _Visited(target, visits, started, started_us, took_us, retest)


async def _close(this: _Round, visited: _Visited) -> Measurement:
    """Add the lookups and put everything in order."""
    target = visited.target
    seen: list[AnyObservation] = []
    for visit in visited.visits:
        seen += visit.observations
        if visit.begun and visit.endpoint.host:
            seen += await this.dns_cache.observations(
                visit.endpoint.host, visit.id, visited.started_us
            )
    seen.sort(key=lambda observation: getattr(observation, "at_us", 0))
    return fit_size_limits(
        Measurement(
            v=VERSION,
            id=UNSTAMPED,
            probe=this.setup.probe,
            target=target.id,
            round=this.round_ms,
            interval_ms=this.interval_ms,
            started=visited.started,
            monotonic_us=visited.started_us,
            took_us=visited.took_us,
            clock_offset_ms=this.clock_offset_ms,
            retest=visited.retest,
            vantage=this.setup.vantage,
            software=this.setup.software,
            catalogue=this.setup.catalogue.version,
            combine=target.combine,
            endpoints=target.refs,
            observations=tuple(seen),
        )
    )


async def _visit(this: _Round, visit: EndpointRun, target: str) -> None:
    """Run one endpoint's experiment under its deadline."""
    endpoint = visit.endpoint
    measure = registry.MEASURE.get(endpoint.protocol)
    if measure is None:
        log.warning(
            "%s: %s skipped, this version cannot measure %r",
            target,
            endpoint.id,
            endpoint.protocol,
        )
        return
    async with this.slots:
        left = this.closes_at - asyncio.get_running_loop().time()
        if left <= 0:
            log.warning("%s: %s not measured, the round's time is over", target, endpoint.id)
            return
        visit.begun = True
        try:
            with within(visit.timeouts.endpoint):
                await measure(visit)
        except TimeoutError:
            log.warning("%s: %s cut off after %g s", target, endpoint.id, visit.timeouts.endpoint)
        except Exception:
            # A bug of ours: loud in the log, and the other endpoints keep their round.
            log.exception("%s: measuring %s failed, this is a bug", target, endpoint.id)
        finally:
            this.setup.throughput_schedule.record(visit.id, this.round_ms, visit.observations)
