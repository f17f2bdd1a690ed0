# SPDX-License-Identifier: Apache-2.0
"""One round: liveness first, then the targets in jittered order, and one Measurement of each.

However many endpoints hang, the round ends at a time that is known beforehand. Measurements are
passed to `emit`; the caller numbers and stores them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.silence import SilentWaits
from probes.endpoint.timeouts import Timeouts
from probes.rounds.liveness import clock_offset_ms, liveness_targets, reached_hosts, stun_hosts
from probes.rounds.places import Places
from probes.rounds.round_plan import RoundPlan, Setup
from probes.rounds.target_measurement import (
    LivenessReport,
    Occasion,
    RoundContext,
    finish,
    measure_target,
)
from probes.wire.measurement import Measurement, service_of
from probes.wire.target import Catalogue, Target

log = logging.getLogger(__name__)

CONCURRENCY = 8
"""Endpoints at once, beside those that only wait in silence: with more, delays of the event loop
would distort the times measured."""
LISTENING = 2
"""Targets in progress per endpoint, including those whose lookups still listen: each costs
some 140 kB. With only one, the listening windows could exceed `round_bound_seconds`."""
Emit = Callable[[Measurement], Awaitable[None] | None]


def round_bound_seconds(
    catalogue: Catalogue,
    targets: Sequence[Target] | None = None,
    *,
    limit_seconds: float | None = None,
    timeouts: Timeouts | None = None,
    lean: bool = False,
) -> float:
    """Return the longest time that a round can take, in seconds, whatever the network does.
    `lean`: each endpoint may be measured twice, see `RoundPlan`."""
    chosen = catalogue.targets if targets is None else targets
    endpoints = sum(len(target.endpoints) for target in chosen)
    rows = [math.ceil(n / CONCURRENCY) for n in (len(catalogue.liveness), endpoints)]
    timeouts = timeouts or Timeouts()
    limit = timeouts.round if limit_seconds is None else limit_seconds
    longest = timeouts.endpoint * (2 if lean else 1)
    work = sum((n + 1) * longest for n in rows if n)
    return min(work, limit + longest) + timeouts.dns_tail if work else 0.0


async def measure_round(setup: Setup, plan: RoundPlan, *, emit: Emit, rng: random.Random) -> None:
    """Measure liveness, then every target once, and emit each Measurement when it is complete.
    Id, epoch and sequence of the measurements are blank."""
    suspected: set[str] = set()

    async def notice(measurement: Measurement) -> None:
        if plan.fails_anew(measurement):
            suspected.add(service_of(measurement.target))
        await _emit(measurement, emit)

    async with _beginning(setup, plan, new_places()) as this:
        for measurement in await _measure_liveness(this, rng):
            await _emit(measurement, emit)
        await _measure_all(this, plan.targets, notice, rng)
        if this.liveness.online:
            further = [target for target in plan.reserve if service_of(target.id) in suspected]
            await _measure_all(this, further, notice, rng)


def new_places() -> Places:
    """Return the places of a round, or of the retests that run beside each other."""
    return Places(CONCURRENCY, SilentWaits())


async def measure_retest(
    setup: Setup, plan: RoundPlan, *, emit: Emit, rng: random.Random, shared: Places
) -> None:
    """Measure liveness and a few targets that the detector asked for, all at once. The places are
    `shared` with other retests.

    Each is measured as a retest: the service's name is sent once to its addresses, from a new port,
    so that nothing measures the residual blocking that it triggers. Where it fails, contrasts with
    other names and with our reflector find the cause; before it where the history says that the
    endpoint failed in its last measurement.
    """
    async with _beginning(setup, plan, shared) as this:
        async with asyncio.TaskGroup() as group:
            alive = group.create_task(_measure_liveness(this, rng))
            tasks = [group.create_task(_measure(this, t, Occasion.RETEST)) for t in plan.targets]
        for measurement in alive.result():
            await _emit(measurement, emit)
        for task in tasks:
            await _emit(_dated(this, task.result()), emit)


@contextlib.asynccontextmanager
async def _beginning(setup: Setup, plan: RoundPlan, places: Places) -> AsyncIterator[RoundContext]:
    """A round that begins now, and ends when its last lookup does."""
    lookups = asyncio.TaskGroup()
    cache = DNSCache(lookups, setup.network, setup.catalogue, setup.system, setup.timeouts)
    with contextlib.closing(cache):
        async with lookups:
            limit = setup.timeouts.round if plan.limit_seconds is None else plan.limit_seconds
            yield RoundContext(
                setup,
                plan,
                cache,
                places,
                closes_at=asyncio.get_running_loop().time() + limit,
                begun_us=setup.network.clock_us(),
            )


async def _measure_all(
    this: RoundContext, targets: Sequence[Target], emit: Emit, rng: random.Random
) -> None:
    order = list(targets)
    rng.shuffle(order)
    silence = this.places.silence
    in_progress = Places(CONCURRENCY, silence)
    listening = Places(CONCURRENCY * LISTENING, silence)

    async def measure(target: Target) -> None:
        # The next target does not wait while the lookups of this one listen for second answers.
        measured = await measure_target(this, target)
        in_progress.give_back()
        measurement = await finish(this, measured)
        listening.give_back()
        await _emit(measurement, emit)

    async with asyncio.TaskGroup() as group:
        while order:
            await listening.wait_for_one()
            await in_progress.wait_for_one()
            target = next((t for t in order if t.id in this.plan.urgent), order[0])
            order.remove(target)
            if asyncio.get_running_loop().time() < this.closes_at:
                group.create_task(measure(target))
                continue
            log.warning("%s: not measured, the time limit of the round was reached", target.id)
            in_progress.give_back()
            listening.give_back()


async def _emit(measurement: Measurement, emit: Emit) -> None:
    outcome = emit(measurement)
    if outcome is not None:
        await outcome


async def _measure(this: RoundContext, target: Target, occasion: Occasion) -> Measurement:
    return await finish(this, await measure_target(this, target, occasion))


async def _measure_liveness(this: RoundContext, rng: random.Random) -> tuple[Measurement, ...]:
    """Measure both scopes at once; the HTTP dates seen set the round's clock offset."""
    hosts = list(this.setup.catalogue.liveness)
    rng.shuffle(hosts)
    wanted = liveness_targets(hosts, this.setup.vantage.country)
    dates_ms: list[tuple[int, int]] = []

    async def measure(target: Target) -> Measurement:
        measured = await measure_target(this, target, Occasion.LIVENESS)
        dates_ms.extend(pair for run in measured.runs for pair in run.dates_ms)
        return await finish(this, measured)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(measure(target)) for target in wanted]
    alive = [where for task in tasks for where in reached_hosts(task.result())]
    this.liveness = LivenessReport(
        online=not tasks or bool(alive),
        alive=alive,
        stun_hosts=[where for task in tasks for where in stun_hosts(task.result())],
        clock_offset_ms=clock_offset_ms(dates_ms),
    )
    return tuple(_dated(this, task.result()) for task in tasks)


def _dated(this: RoundContext, measurement: Measurement) -> Measurement:
    """The measurement with the clock offset, which was not known when it was made."""
    return msgspec.structs.replace(measurement, clock_offset_ms=this.liveness.clock_offset_ms)
