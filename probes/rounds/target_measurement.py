# SPDX-License-Identifier: Apache-2.0
"""The measurement of one target in one round: which of its endpoints are measured and how, and the
Measurement that they make together.

Whatever one endpoint does (hangs, sends bytes without end, meets a bug of ours), the others are
measured: each has a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Sequence
from enum import Enum

import msgspec

from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.endpoint_run import Course, EndpointRun, RoundMeans, ThroughputMode
from probes.endpoint.size_limits import fit_size_limits
from probes.net.limits import within
from probes.protocols import registry, stun
from probes.rounds.last_failures import failed_endpoints, has_failed, is_own
from probes.rounds.places import Places
from probes.rounds.profile import lean_endpoints
from probes.rounds.round_plan import RoundPlan, Setup
from probes.wire.measurement import VERSION, Measurement, Role, named_interval_ms
from probes.wire.observation import AnyObservation, Observation
from probes.wire.protocol import Transport, protocol
from probes.wire.target import Endpoint, Target

log = logging.getLogger(__name__)

UNNUMBERED = "0" * 32
"""Id of a measurement before its caller numbers it."""


class Occasion(Enum):
    """Why a target is measured."""

    LIVENESS = "liveness"
    ROUND = "round"
    RETEST = "retest"


class LivenessReport(msgspec.Struct, frozen=True):
    """What the liveness hosts of a round have shown."""

    online: bool = True
    """False when no host accepted a connection: contrasts would show nothing then, and without them
    the round ends sooner."""
    alive: Sequence[tuple[str, int]] = ()
    """Where hosts were reached."""
    stun_hosts: Sequence[tuple[str, int]] = ()
    """Where one answered over UDP."""
    clock_offset_ms: int | None = None


class RoundContext(msgspec.Struct):
    """What the measurements of one round share."""

    setup: Setup
    plan: RoundPlan
    dns_cache: DNSCache
    places: Places
    """One for each endpoint that is measured at the same time."""
    closes_at: float
    """Time of the event loop after which no endpoint begins."""
    begun_us: int = 0
    """When the round began, by the network's clock."""
    liveness: LivenessReport = LivenessReport()

    def is_dear(self) -> bool:
        """Whether the round has carried more than it may for thorough measurements."""
        return self.setup.network.meter.total() > self.plan.thorough_bytes


class MeasuredTarget(msgspec.Struct, frozen=True):
    """A target whose endpoints are measured; its lookups may still be listening."""

    target: Target
    runs: tuple[EndpointRun, ...]
    started: int
    started_us: int
    took_us: int
    occasion: Occasion


async def measure_target(
    this: RoundContext, target: Target, occasion: Occasion = Occasion.ROUND
) -> MeasuredTarget:
    """Measure the endpoints of one target side by side."""
    network = this.setup.network
    started, started_us = network.wall_ms(), network.clock_us()
    runs = _runs(this, target, occasion, started, started_us)
    first: Sequence[EndpointRun] = runs
    if this.plan.lean and occasion is Occasion.ROUND:
        first = _in_turn(this, target, runs)
    await _run_endpoints(this, first, target.id)
    if len(first) < len(runs) and any(map(_failed, first)):
        await _run_endpoints(this, [run for run in runs if not run.begun], target.id)
    took_us = network.clock_us() - started_us
    return MeasuredTarget(target, runs, started, started_us, took_us, occasion)


async def finish(this: RoundContext, measured: MeasuredTarget) -> Measurement:
    """Add the lookups and sort the observations by time."""
    target, plan = measured.target, this.plan
    observations: list[AnyObservation] = []
    for run in measured.runs:
        observations += run.observations
        if run.begun and run.endpoint.host:
            observations += await this.dns_cache.observations(
                run.endpoint.host, run.id, measured.started_us
            )
    observations.sort(key=lambda observation: getattr(observation, "at_us", 0))
    measurement = fit_size_limits(
        Measurement(
            v=VERSION,
            id=UNNUMBERED,
            probe=this.setup.probe,
            target=target.id,
            round=plan.round_ms,
            interval_ms=named_interval_ms(plan.interval_of(target), plan.interval_ms),
            started=measured.started,
            monotonic_us=measured.started_us - this.begun_us,
            took_us=measured.took_us,
            clock_offset_ms=this.liveness.clock_offset_ms,
            retest=measured.occasion is Occasion.RETEST,
            vantage=this.setup.vantage,
            software=this.setup.software,
            catalogue=this.setup.catalogue.version,
            combine=target.combine,
            endpoints=target.refs,
            observations=tuple(observations),
        )
    )
    if not any(failed_endpoints(measurement).values()):
        return measurement
    again_ms = named_interval_ms(plan.interval_of(target, failed=True), plan.interval_ms)
    return msgspec.structs.replace(measurement, interval_ms=again_ms)


def _runs(
    this: RoundContext, target: Target, occasion: Occasion, started: int, started_us: int
) -> tuple[EndpointRun, ...]:
    """A run of each endpoint of a target. It starts at `started` (Unix milliseconds)."""
    # Liveness shows over which families anything passes: its hosts share them, if there are two.
    sharing = _sharing_families(target) if occasion is Occasion.LIVENESS else ()
    means = RoundMeans(
        network=this.setup.network,
        dns_cache=this.dns_cache,
        silence=this.places.silence,
        timeouts=this.setup.timeouts,
        sni=this.setup.catalogue.sni,
        alive=this.liveness.alive,
        alive_by_now=lambda: this.liveness.alive,
        stun_hosts=this.liveness.stun_hosts,
        ask_stun=stun.ask,
    )
    return tuple(
        EndpointRun(
            endpoint,
            means,
            started_us,
            _course(this, target, endpoint, occasion, started, sharing),
        )
        for endpoint in target.endpoints
    )


def _course(
    this: RoundContext,
    target: Target,
    endpoint: Endpoint,
    occasion: Occasion,
    started: int,
    sharing: Sequence[Endpoint],
) -> Course:
    """How an endpoint is measured. `sharing`: those of liveness that share the families."""
    setup, plan = this.setup, this.plan
    liveness, retest = occasion is Occasion.LIVENESS, occasion is Occasion.RETEST
    plain = liveness or not this.liveness.online
    failed = plan.history.get(endpoint.id, 0)
    thrift = _thrift(this, endpoint, bool(failed))
    lean = plan.lean and not retest
    return Course(
        failed_last_round=not plain and bool(failed),
        residual=started - failed < setup.timeouts.residual * 1000,
        contrasts=not plain,
        repeats=not (retest or thrift.once),
        brief=thrift.brief,
        control=not (plain or retest) and setup.vantage.role is Role.CONTROL,
        references=not plain,
        lean=lean and (not failed or thrift.dead) and (not liveness or endpoint in sharing),
        turn=_number(plan, target) + (sharing.index(endpoint) if endpoint in sharing else 0),
        throughput=ThroughputMode.OFF
        if plain
        else _throughput(this, target, endpoint, lean=lean, retest=retest),
        handed_over=plan.handed_over.get((target.id, endpoint.id), ())
        if setup.vantage.role is Role.CONTROL and not plain
        else (),
    )


class _Thrift(msgspec.Struct, frozen=True):
    """What is left out at an endpoint where traffic is short."""

    brief: bool = False
    """All contrasts but one."""
    once: bool = False
    """Repeats."""
    dead: bool = False
    """Addresses but one, as nothing of the endpoint worked before."""


def _thrift(this: RoundContext, endpoint: Endpoint, failed: bool) -> _Thrift:
    """What is left out; `failed` in its last measurement. Others are compared with a control, so
    it leaves out nothing."""
    if this.setup.vantage.role is Role.CONTROL:
        return _Thrift()
    dear, dead = this.is_dear(), failed and endpoint.id in this.plan.dead
    known = failed and this.plan.brief
    return _Thrift(brief=dear or dead or known, once=dear or dead, dead=dead)


def _throughput(
    this: RoundContext, target: Target, endpoint: Endpoint, *, lean: bool, retest: bool
) -> ThroughputMode:
    """Whether an endpoint's throughput is measured."""
    plan = this.plan
    return this.setup.throughput_schedule.mode(
        endpoint.id,
        plan.round_ms,
        plan.interval_of(target),
        lean=lean,
        retest=retest,
        wanted=target.id in plan.throughput,
    )


def _number(plan: RoundPlan, target: Target) -> int:
    """The number of the round among those that measure this target."""
    return plan.round_ms // (plan.interval_of(target) or 1)


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
    this: RoundContext, target: Target, runs: Sequence[EndpointRun]
) -> Sequence[EndpointRun]:
    """The endpoints of a target that this round begins with. Vantages begin with different ones."""
    quiet = all(this.plan.history.get(run.id) == 0 for run in runs)
    size = lean_endpoints(target)
    if not quiet or size == len(runs):
        return runs
    begin = zlib.crc32(this.setup.probe.encode()) + size * _number(this.plan, target)
    return [runs[(begin + step) % len(runs)] for step in range(size)]


async def _run_endpoints(this: RoundContext, runs: Sequence[EndpointRun], target: str) -> None:
    async with asyncio.TaskGroup() as group:
        for run in runs[1:]:
            group.create_task(_run_endpoint(this, run, target))
        if runs:  # the first in this task, which waits for the others anyway
            await _run_endpoint(this, runs[0], target)


async def _run_endpoint(this: RoundContext, run: EndpointRun, target: str) -> None:
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
    async with this.places:
        left = this.closes_at - asyncio.get_running_loop().time()
        if left <= 0:
            log.warning(
                "%s: %s not measured, the time limit of the round was reached", target, endpoint.id
            )
            return
        run.begun = True
        try:
            ended = await _ends(measure(run), run, target)
            as_before = (ended and not _failed(run)) is not run.course.failed_last_round
            if run.addresses.lean and endpoint.host and not as_before:
                # No change may rest on one address alone. The others have time of their own.
                run.addresses.lean = False
                if run.course.failed_last_round and not this.is_dear():
                    run.examine()
                await _ends(measure(run), run, target)
        except Exception:
            # A bug of ours: loud in the log, and the other endpoints keep their round.
            log.exception(
                "%s: measuring %s failed because of a bug in this program", target, endpoint.id
            )
        finally:
            run.mark_handed_over()
            this.setup.throughput_schedule.record(run.id, this.plan.round_ms, run.observations)


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
    return not run.addresses.system or any(
        has_failed(observation)
        for observation in run.observations
        if isinstance(observation, Observation) and is_own(observation)
    )
