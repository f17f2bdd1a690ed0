# SPDX-License-Identifier: Apache-2.0
"""One round: liveness first, then the targets in jittered order, and one Measurement of each.

Whatever one endpoint does (hangs, sends bytes without end, meets a bug of ours), the others are
measured: each has a deadline, and the whole round has one that is known beforehand. Measurements
are passed to `emit`; the caller numbers and stores them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
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
from probes.protocols import registry, stun
from probes.rounds.last_failures import failed_endpoints, has_failed
from probes.rounds.liveness import clock_offset_ms, liveness_targets, reached_hosts, stun_hosts
from probes.rounds.profile import lean_endpoints
from probes.wire.measurement import (
    VERSION,
    Measurement,
    Role,
    Software,
    Vantage,
    named_interval_ms,
    service_of,
)
from probes.wire.observation import AnyObservation, Observation, Purpose
from probes.wire.protocol import Transport, protocol
from probes.wire.target import Catalogue, Endpoint, Target

log = logging.getLogger(__name__)

CONCURRENCY = 8
"""Endpoints at once: with more, delays of the event loop would distort the times measured."""
LISTENING = 2
"""Targets in progress per endpoint slot, including those whose lookups still listen: each costs
some 140 kB. With only one, the listening windows could exceed `round_bound_seconds`."""
UNNUMBERED = "0" * 32
"""Id of a measurement before its caller numbers it."""
Emit = Callable[[Measurement], Awaitable[None] | None]


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
    """When each endpoint's speed was last measured, kept from round to round."""


@dataclass
class _Round:
    """What the measurements of one round share."""

    setup: Setup
    lookups: asyncio.TaskGroup
    round_ms: int
    interval_ms: int
    history: Mapping[str, int]
    limit_seconds: float | None = None
    intervals: Mapping[str, int] = field(default_factory=dict)
    """Interval of each target in milliseconds, by id; that of the round without an entry."""
    longest_after_failure_ms: int | None = None
    lean: bool = False
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))
    listening: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONCURRENCY * LISTENING)
    )
    """Targets that are being measured or whose lookups still listen for second answers."""
    dns_cache: DNSCache = field(init=False)
    closes_at: float = field(init=False)
    """Time of the event loop after which no endpoint begins."""
    online: bool = True
    """False when no liveness host accepted a connection: contrasts would show nothing then, and
    without them the round ends sooner."""
    alive: list[tuple[str, int]] = field(default_factory=list)
    """Where liveness hosts were reached."""
    stun_hosts: list[tuple[str, int]] = field(default_factory=list)
    """Where one answered over UDP."""
    throughput: Collection[str] = ()
    """Ids of targets whose throughput a retest asks for."""
    clock_offset_ms: int | None = None
    dates_ms: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        setup, timeouts, limit = self.setup, self.setup.timeouts, self.limit_seconds
        self.dns_cache = DNSCache(
            self.lookups, setup.network, setup.catalogue, setup.system, timeouts
        )
        now = asyncio.get_running_loop().time()
        self.closes_at = now + (timeouts.round if limit is None else limit)

    def interval_of(self, target: Target, *, failed: bool = False) -> int:
        """Interval of a target in milliseconds."""
        usual = self.intervals.get(target.id, self.interval_ms)
        longest = self.longest_after_failure_ms if failed else None
        return usual if longest is None else min(usual, longest)


def round_bound_seconds(
    catalogue: Catalogue,
    targets: Sequence[Target] | None = None,
    *,
    limit_seconds: float | None = None,
    timeouts: Timeouts | None = None,
    lean: bool = False,
) -> float:
    """Return the longest time that a round can take, in seconds, whatever the network does.
    `lean`: each endpoint may be measured twice, see `measure_round`."""
    chosen = catalogue.targets if targets is None else targets
    endpoints = sum(len(target.endpoints) for target in chosen)
    rows = [math.ceil(n / CONCURRENCY) for n in (len(catalogue.liveness), endpoints)]
    timeouts = timeouts or Timeouts()
    limit = timeouts.round if limit_seconds is None else limit_seconds
    each = timeouts.endpoint * (2 if lean else 1)
    work = sum((n + 1) * each for n in rows if n)
    return min(work, limit + each) + timeouts.dns_tail if work else 0.0


async def measure_round(
    setup: Setup,
    targets: Sequence[Target],
    *,
    round_ms: int,
    interval_ms: int,
    emit: Emit,
    rng: random.Random,
    intervals: Mapping[str, int] | None = None,
    longest_after_failure_ms: int | None = None,
    lean: bool = False,
    reserve: Sequence[Target] = (),
    history: Mapping[str, int] | None = None,
    limit_seconds: float | None = None,
) -> None:
    """Measure liveness, then every target once, and emit each Measurement when it is complete.

    `round_ms` is the round's start in Unix milliseconds, `interval_ms` is 0 for a single run.
    `intervals` are those of targets that are measured less often, by id, and
    `longest_after_failure_ms` that of a target that fails now. `lean`: an endpoint that
    did not fail in its last round is dialled at one address, at the others only when that one
    fails; and of the endpoints of a target that are alternatives, two are measured in turn
    (`lean_endpoints`), the others only when one of these fails. `reserve` are targets that are not
    due: those of a service are measured as well when one of its endpoints fails that did not fail
    before.
    `history` holds the endpoints (by id) that failed in the last round, and when: see
    `probes.rounds.last_failures`. No endpoint begins after `limit_seconds`, by default
    that of the setup.
    Id, epoch and sequence of the measurements are blank.
    """
    suspected: set[str] = set()

    async def notice(measurement: Measurement) -> None:
        failed = failed_endpoints(measurement)
        if any(when and not this.history.get(id) for id, when in failed.items()):
            suspected.add(service_of(measurement.target))
        await _emit(measurement, emit)

    async with asyncio.TaskGroup() as lookups:
        this = _Round(
            setup,
            lookups,
            round_ms,
            interval_ms,
            history or {},
            limit_seconds,
            intervals or {},
            longest_after_failure_ms,
            lean,
        )
        for measurement in await _measure_liveness(this, rng):
            await _emit(measurement, emit)
        await _measure_all(this, targets, notice, rng)
        if this.online:
            further = [each for each in reserve if service_of(each.id) in suspected]
            await _measure_all(this, further, notice, rng)


async def measure_retest(
    setup: Setup,
    targets: Sequence[Target],
    *,
    throughput: Collection[str] = (),
    round_ms: int,
    interval_ms: int,
    emit: Emit,
    rng: random.Random,
    history: Mapping[str, int] | None = None,
) -> None:
    """Measure liveness and a few targets that the detector asked for, all at once; `throughput`
    are the ids of those whose throughput it wants.

    Each is measured as a retest: the service's name is sent once to its addresses, from a new port,
    so that nothing measures the residual blocking that it triggers. Where it fails, contrasts with
    other names and with our reflector find the cause; before it where `history` says that the
    endpoint failed in its last measurement.
    """
    async with asyncio.TaskGroup() as lookups:
        this = _Round(setup, lookups, round_ms, interval_ms, history or {}, throughput=throughput)
        async with asyncio.TaskGroup() as group:
            alive = group.create_task(_measure_liveness(this, rng))
            tasks = [group.create_task(_measure(this, t, retest=True)) for t in targets]
        for measurement in alive.result():
            await _emit(measurement, emit)
        for task in tasks:
            dated = msgspec.structs.replace(task.result(), clock_offset_ms=this.clock_offset_ms)
            await _emit(dated, emit)


async def _measure_all(
    this: _Round, targets: Sequence[Target], emit: Emit, rng: random.Random
) -> None:
    order = list(targets)
    rng.shuffle(order)
    remaining = iter(order)
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(CONCURRENCY, len(order))):
            workers.create_task(_work(this, remaining, workers, emit))


async def _work(
    this: _Round, remaining: Iterator[Target], group: asyncio.TaskGroup, emit: Emit
) -> None:
    """Take targets until none is left or the round's time is over. The next target does not wait
    while the lookups of the last one still listen for second answers."""

    async def finish(measured: _MeasuredTarget) -> None:
        measurement = await _finish(this, measured)
        this.listening.release()
        await _emit(measurement, emit)

    for target in remaining:
        if asyncio.get_running_loop().time() >= this.closes_at:
            log.warning("%s: not measured, the time limit of the round was reached", target.id)
            continue
        await this.listening.acquire()
        measured = await _measure_endpoints(this, target)
        if any(endpoint.host for endpoint in target.endpoints):
            group.create_task(finish(measured))
        else:  # no lookup to wait for
            await finish(measured)


async def _emit(measurement: Measurement, emit: Emit) -> None:
    outcome = emit(measurement)
    if outcome is not None:
        await outcome


async def _measure_liveness(this: _Round, rng: random.Random) -> tuple[Measurement, ...]:
    """Measure both scopes at once; the HTTP dates seen set the round's clock offset."""
    hosts = list(this.setup.catalogue.liveness)
    rng.shuffle(hosts)
    wanted = liveness_targets(hosts, this.setup.vantage.country)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_measure(this, t, liveness=True)) for t in wanted]
    this.clock_offset_ms = clock_offset_ms(this.dates_ms)
    this.alive = [where for task in tasks for where in reached_hosts(task.result())]
    this.stun_hosts = [where for task in tasks for where in stun_hosts(task.result())]
    this.online = not tasks or bool(this.alive)
    return tuple(
        msgspec.structs.replace(task.result(), clock_offset_ms=this.clock_offset_ms)
        for task in tasks
    )


async def _measure(
    this: _Round, target: Target, *, liveness: bool = False, retest: bool = False
) -> Measurement:
    measured = await _measure_endpoints(this, target, liveness=liveness, retest=retest)
    return await _finish(this, measured)


def _residual_blocking_possible(this: _Round, endpoint: str, now_ms: int) -> bool:
    """The endpoint failed so recently that residual blocking may hold, whatever the name."""
    since = now_ms - this.history.get(endpoint, 0)
    return since < this.setup.timeouts.residual * 1000


@dataclass(frozen=True)
class _MeasuredTarget:
    """A target whose endpoints are measured; its lookups may still be listening."""

    target: Target
    runs: tuple[EndpointRun, ...]
    started: int
    started_us: int
    took_us: int
    retest: bool


async def _measure_endpoints(
    this: _Round, target: Target, *, liveness: bool = False, retest: bool = False
) -> _MeasuredTarget:
    """Measure the endpoints of one target side by side."""
    network = this.setup.network
    started, started_us = network.wall_ms(), network.clock_us()
    plain = liveness or not this.online
    number = this.round_ms // (this.interval_of(target) or 1)
    lean = this.lean and not retest
    # It shows over which families anything passes, so its hosts share them, where there are two.
    sharing = _sharing_families(target) if liveness else ()
    runs = tuple(
        EndpointRun(
            network=network,
            endpoint=endpoint,
            dns_cache=this.dns_cache,
            started_us=started_us,
            timeouts=this.setup.timeouts,
            sni=this.setup.catalogue.sni,
            failed_last_round=not plain and bool(this.history.get(endpoint.id)),
            residual=_residual_blocking_possible(this, endpoint.id, started),
            contrasts=not plain,
            alive=this.alive,
            stun_hosts=this.stun_hosts,
            ask_stun=stun.ask,
            repeats=not retest,
            control=not (plain or retest) and this.setup.vantage.role is Role.CONTROL,
            references=not liveness and this.online,
            lean=lean
            and not this.history.get(endpoint.id)
            and (not liveness or endpoint in sharing),
            turn=number + (sharing.index(endpoint) if endpoint in sharing else 0),
            throughput=ThroughputMode.OFF
            if liveness or not this.online
            else this.setup.throughput_schedule.mode(
                endpoint.id,
                this.round_ms,
                this.interval_of(target),
                lean=lean,
                retest=retest,
                wanted=target.id in this.throughput,
            ),
        )
        for endpoint in target.endpoints
    )
    first = _in_turn(this, target, runs, number) if lean and not liveness else runs
    await _run_endpoints(this, first, target.id)
    if len(first) < len(runs) and any(map(_failed, first)):
        await _run_endpoints(this, [run for run in runs if not run.begun], target.id)
    if liveness:
        this.dates_ms += [pair for run in runs for pair in run.dates_ms]
    took_us = network.clock_us() - started_us
    return _MeasuredTarget(target, runs, started, started_us, took_us, retest)


def _sharing_families(target: Target) -> tuple[Endpoint, ...]:
    """The hosts of liveness that a lean round reaches over one family each. Those over UDP cost
    little, and a host alone must show both families."""
    named = tuple(
        endpoint
        for endpoint in target.endpoints
        if endpoint.host and protocol(endpoint.protocol).transport is Transport.TCP
    )
    return named if len(named) > 1 else ()


def _in_turn(
    this: _Round, target: Target, runs: Sequence[EndpointRun], number: int
) -> Sequence[EndpointRun]:
    """The endpoints of a target that this round begins with. Vantages begin with different ones."""
    quiet = all(this.history.get(run.id) == 0 for run in runs)
    size = lean_endpoints(target)
    if not quiet or size == len(runs):
        return runs
    begin = zlib.crc32(this.setup.probe.encode()) + size * number
    return [runs[(begin + each) % len(runs)] for each in range(size)]


async def _run_endpoints(this: _Round, runs: Sequence[EndpointRun], target: str) -> None:
    async with asyncio.TaskGroup() as group:
        for run in runs[1:]:
            group.create_task(_run_endpoint(this, run, target))
        if runs:  # the first in this task, which waits for the others anyway
            await _run_endpoint(this, runs[0], target)


async def _finish(this: _Round, measured: _MeasuredTarget) -> Measurement:
    """Add the lookups and sort the observations by time."""
    target = measured.target
    seen: list[AnyObservation] = []
    for run in measured.runs:
        seen += run.observations
        if run.begun and run.endpoint.host:
            seen += await this.dns_cache.observations(
                run.endpoint.host, run.id, measured.started_us
            )
    seen.sort(key=lambda observation: getattr(observation, "at_us", 0))
    measurement = fit_size_limits(
        Measurement(
            v=VERSION,
            id=UNNUMBERED,
            probe=this.setup.probe,
            target=target.id,
            round=this.round_ms,
            interval_ms=named_interval_ms(this.interval_of(target), this.interval_ms),
            started=measured.started,
            monotonic_us=measured.started_us,
            took_us=measured.took_us,
            clock_offset_ms=this.clock_offset_ms,
            retest=measured.retest,
            vantage=this.setup.vantage,
            software=this.setup.software,
            catalogue=this.setup.catalogue.version,
            combine=target.combine,
            endpoints=target.refs,
            observations=tuple(seen),
        )
    )
    if not any(failed_endpoints(measurement).values()):
        return measurement
    again_ms = named_interval_ms(this.interval_of(target, failed=True), this.interval_ms)
    return msgspec.structs.replace(measurement, interval_ms=again_ms)


async def _run_endpoint(this: _Round, run: EndpointRun, target: str) -> None:
    """Run one endpoint's experiment."""
    endpoint = run.endpoint
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
            log.warning(
                "%s: %s not measured, the time limit of the round was reached", target, endpoint.id
            )
            return
        run.begun = True
        try:
            ended = await _ends(measure(run), run, target)
            if run.lean and endpoint.host and (not ended or _failed(run)):
                # No conclusion may rest on one address alone. The others have time of their own.
                run.lean = False
                await _ends(measure(run), run, target)
        except Exception:
            # A bug of ours: loud in the log, and the other endpoints keep their round.
            log.exception(
                "%s: measuring %s failed because of a bug in this program", target, endpoint.id
            )
        finally:
            this.setup.throughput_schedule.record(run.id, this.round_ms, run.observations)


async def _ends(measuring: Awaitable[None], run: EndpointRun, target: str) -> bool:
    """Measure an endpoint; False when its deadline ended that."""
    try:
        with within(run.timeouts.endpoint):
            await measuring
    except TimeoutError:
        log.warning("%s: %s aborted after %g s", target, run.id, run.timeouts.endpoint)
        return False
    return True


def _failed(run: EndpointRun) -> bool:
    return not run.system_addresses or any(
        has_failed(seen)
        for seen in run.observations
        if isinstance(seen, Observation) and seen.purpose is Purpose.SUBJECT
    )
