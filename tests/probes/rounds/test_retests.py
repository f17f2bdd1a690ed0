"""Which retests are accepted, and when they are measured."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.log import Log
from probes.rounds.retests import (
    HOUR_MS,
    LATEST,
    MAX_CLOCK_ROUNDS,
    MAX_PER_HOUR,
    MAX_PER_TARGET,
    SPREAD,
    PlannedRetest,
    RetestLimits,
    RetestRunner,
    pause_ms,
)
from probes.rounds.turns import Turns
from probes.wire.retest import Retest
from probes.wire.target import Endpoint, Target
from tests.world.waiting import HANG_SECONDS

MINUTE = 60_000
NOW = 1_800_000_000_000
ANY = (0, 2 * NOW)
"""As between two rounds of a probe that are years apart."""


def target(name: str) -> Target:
    return Target(id=name, endpoints=(Endpoint(host="a.test", port=443, protocol="tls"),))


TARGETS = {name: target(name) for name in (f"s{n}/web" for n in range(100))}


def request(*names: str, round: int = NOW) -> Retest:
    return Retest(targets=names, round=round, interval_ms=MINUTE)


def accept(
    limits: RetestLimits,
    asked: Retest,
    now: int,
    *,
    own_rounds: tuple[int, int] = ANY,
    **given: object,
) -> PlannedRetest | str:
    return limits.accept(asked, now, random.Random(1), own_rounds=own_rounds, **given)  # type: ignore[arg-type]


def measured(planned: PlannedRetest | str) -> list[str]:
    assert isinstance(planned, PlannedRetest), planned
    return [each.id for each in planned.targets]


def test_starts_within_a_quarter_of_the_round() -> None:
    limits, rng = RetestLimits(TARGETS), random.Random(1)
    starts = set()
    for n in range(10):
        planned = limits.accept(request("s1/web", round=NOW + n), NOW, rng, own_rounds=ANY)
        assert isinstance(planned, PlannedRetest)
        assert (planned.round_ms, planned.interval_ms) == (NOW + n, MINUTE)
        assert planned.until_ms == NOW + MINUTE
        starts.add(planned.start_ms)
    assert len(starts) > 5
    assert all(NOW <= start <= NOW + SPREAD * MINUTE for start in starts)


def test_a_round_is_not_measured_twice() -> None:
    limits = RetestLimits(TARGETS)
    assert measured(accept(limits, request("s1/web", "s1/web"), NOW)) == ["s1/web"]
    assert isinstance(accept(limits, request("s1/web"), NOW + 1), str)
    assert measured(accept(limits, request("s2/web", "s1/web"), NOW + 1)) == ["s2/web"]


def test_unknown_targets_and_busy_ones_are_left_out() -> None:
    limits = RetestLimits(TARGETS)
    planned = accept(limits, request("x/y", "s1/web", "s2/web"), NOW, unfinished={"s1/web"})
    assert measured(planned) == ["s2/web"]
    assert isinstance(accept(limits, request("x/y", round=NOW + MINUTE), NOW), str)


def test_another_time_is_refused() -> None:
    limits = RetestLimits(TARGETS)
    far = MAX_CLOCK_ROUNDS * MINUTE
    for off in (-far - 1, far + 1):
        assert "time" in str(accept(limits, request("s1/web", round=NOW + off), NOW))
    for off in (-far, far):
        assert measured(accept(limits, request("s1/web", round=NOW + off), NOW))


def test_a_round_of_its_own_covers_requests_for_it_and_for_earlier_rounds() -> None:
    last, following = NOW - 2 * MINUTE, NOW + 3 * MINUTE
    for round in (last - MINUTE, last, following, following + MINUTE):
        refusal = accept(
            RetestLimits(TARGETS),
            request("s1/web", round=round),
            round,
            own_rounds=(last, following),
        )
        assert "own" in str(refusal)
    for round in (last + MINUTE, following - MINUTE):
        assert measured(
            accept(
                RetestLimits(TARGETS),
                request("s1/web", round=round),
                round,
                own_rounds=(last, following),
            )
        )


def test_a_probe_that_measures_as_often_as_asked_accepts_nothing() -> None:
    for last in range(NOW, NOW + 10 * MINUTE, MINUTE):
        for round in range(NOW, NOW + 10 * MINUTE, MINUTE):
            refusal = accept(
                RetestLimits(TARGETS),
                request("s1/web", round=round),
                round,
                own_rounds=(last, last + MINUTE),
            )
            assert isinstance(refusal, str)


def test_two_retests_of_a_target_are_half_of_the_residual_time_apart() -> None:
    """What succeeded triggered nothing; after a failure it is all of it."""
    pause = pause_ms(5 * MINUTE, 180.0)
    assert 150_000 < pause < 180_000, "the detector keeps all of it; a message may be quicker"
    assert pause_ms(60 * MINUTE, 180.0) == pause
    assert pause_ms(MINUTE // 3, 180.0) < MINUTE // 3
    limits = RetestLimits(TARGETS, pause)
    assert measured(accept(limits, request("s1/web"), NOW))
    later = NOW + pause // 2 - int(LATEST * MINUTE)
    soon = later - 1
    assert measured(accept(limits, request("s1/web", "s2/web", round=soon), soon)) == ["s2/web"]
    planned = accept(limits, request("s1/web", round=later), later)
    assert measured(planned) == ["s1/web"]
    assert isinstance(planned, PlannedRetest)
    assert planned.earliest_ms == planned.start_ms == NOW + pause // 2 < planned.until_ms


def test_residual_blocking_after_a_failure_is_waited_for() -> None:
    pause = pause_ms(5 * MINUTE, 180.0)
    failed = {"s1/web": NOW - pause + 20_000}
    planned = accept(RetestLimits(TARGETS, pause), request("s1/web"), NOW, failed=failed)
    assert measured(planned) == ["s1/web"]
    assert isinstance(planned, PlannedRetest)
    assert planned.start_ms == NOW + 20_000
    failed = {"s1/web": NOW - pause + MINUTE}
    refusal = accept(RetestLimits(TARGETS, pause), request("s1/web"), NOW, failed=failed)
    assert isinstance(refusal, str)


def test_the_budget_limits_the_targets() -> None:
    limits = RetestLimits(TARGETS)
    assert measured(accept(limits, request("s1/web", "s2/web"), NOW, affordable=1.5)) == ["s1/web"]
    assert isinstance(accept(limits, request("s3/web"), NOW, affordable=0.5), str)
    assert measured(accept(limits, request("s3/web"), NOW, affordable=1.5)) == ["s3/web"]


@given(
    st.lists(
        st.tuples(st.integers(0, 2 * HOUR_MS), st.lists(st.sampled_from(sorted(TARGETS)))),
        max_size=200,
    )
)
def test_no_flood_of_requests_exceeds_the_limits(flood: list[tuple[int, list[str]]]) -> None:
    limits = RetestLimits(TARGETS)
    done: list[tuple[int, str]] = []
    for n, (after, names) in enumerate(sorted(flood)):
        if names:
            now = NOW + after
            planned = accept(limits, request(*names, round=now + n), now)
            done += [
                (now, name)
                for name in (measured(planned) if planned and not isinstance(planned, str) else [])
            ]
    for end, _ in done:
        hour = [name for when, name in done if end - HOUR_MS < when <= end]
        assert len(hour) <= MAX_PER_HOUR
        assert all(hour.count(name) <= MAX_PER_TARGET for name in set(hour))


def test_after_an_hour_retests_are_accepted_again() -> None:
    limits = RetestLimits(TARGETS)
    for n in range(MAX_PER_TARGET):
        assert measured(accept(limits, request("s1/web", round=NOW + n), NOW + n))
    late = NOW + HOUR_MS - 1
    assert isinstance(accept(limits, request("s1/web", round=late), late), str)
    later = NOW + HOUR_MS + MAX_PER_TARGET
    assert measured(accept(limits, request("s1/web", round=later), later))


APART_SECONDS = 0.3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.rounds.retests.APART_SECONDS", APART_SECONDS)


class Probe:
    """A probe with a clock of its own that records what it measures."""

    def __init__(self) -> None:
        self.now, self.done, self.turns = NOW, list[PlannedRetest](), Turns()
        self.unfinished: set[str] = set()
        self.takes: asyncio.Event | None = None
        """Measuring lasts until this is set."""
        self.times: dict[str, float] = {}
        """By target: when it was measured, by the loop's clock."""
        self.runner = RetestRunner(
            RetestLimits(TARGETS),
            self._measure,
            turns=self.turns,
            unfinished=self.unfinished,
            now_ms=lambda: self.now,
            rng=random.Random(1),
            log=Log(sys.stderr),
        )
        self.runner.own_rounds = (NOW - 2 * MINUTE, NOW + 3 * MINUTE)

    async def _measure(self, planned: PlannedRetest) -> None:
        assert self.turns.busy
        self.done.append(planned)
        for target in planned.targets:
            self.times[target.id] = asyncio.get_running_loop().time()
        if self.takes is not None:
            await self.takes.wait()

    def submit(
        self,
        *names: str,
        length: int = 1000,
        affordable: float = 100.0,
        failed: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        round = self.now - self.now % length
        request = Retest(targets=names, round=round, interval_ms=length)
        self.runner.submit(request, affordable, failed)


@asynccontextmanager
async def running() -> AsyncIterator[Probe]:
    probe = Probe()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(probe.runner.run())
        yield probe
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)


async def test_waits_for_a_round_to_begin_and_not_for_its_end() -> None:
    async with running() as probe:
        async with probe.turns.without_retests():
            probe.submit("s1/web", "s2/web")
            await until(lambda: bool(probe.turns._beginning._waiters))
            assert probe.done == []
            round = probe.turns.round()
            round.__enter__()
            probe.unfinished.add("s2/web")
        await until(lambda: probe.runner.measured == 1)
        assert [target.id for target in probe.done[0].targets] == ["s1/web"]
        assert probe.runner.waiting == 0
        round.__exit__(None, None, None)


async def test_a_request_does_not_wait_for_the_answer_to_another_one() -> None:
    """Those that come soon after each other are measured together."""
    async with running() as probe:
        probe.takes = asyncio.Event()
        began = asyncio.get_running_loop().time()
        probe.submit("s1/web")
        await until(lambda: "s1/web" in probe.times)
        probe.submit("s2/web")
        await asyncio.sleep(APART_SECONDS / 2)
        probe.submit("s3/web")
        await until(lambda: "s2/web" in probe.times)
        assert [len(planned.targets) for planned in probe.done] == [1, 2]
        assert probe.times["s2/web"] - began >= APART_SECONDS
        assert (probe.runner.measured, probe.runner.waiting, probe.turns.busy) == (0, 3, True)
        probe.takes.set()
        await until(lambda: probe.runner.measured == 3)
        await until(lambda: not probe.turns.busy)
        assert probe.runner.waiting == 0


async def test_requests_of_many_services_for_one_round_are_measured_together() -> None:
    async with running() as probe:
        for n in range(5):
            probe.submit(f"s{n}/web")
        probe.submit("s9/web", length=2000)
        await until(lambda: probe.runner.measured == 6)
    assert [len(planned.targets) for planned in probe.done] == [5, 1]


async def test_what_waits_for_residual_blocking_is_not_measured_with_the_others() -> None:
    async with running() as probe:
        began = asyncio.get_running_loop().time()
        probe.submit("s1/web", failed={"s1/web": NOW + 300})
        probe.submit("s2/web")
        await until(lambda: probe.runner.measured == 2)
    assert probe.times["s1/web"] - began >= 0.3


async def test_dropped_when_too_late_or_covered_by_a_round_of_its_own() -> None:
    async with running() as probe:
        async with probe.turns.without_retests():
            probe.submit("s1/web")
            probe.now += 1000
        await until(lambda: probe.runner.waiting == 0)
        async with probe.turns.without_retests():
            probe.submit("s2/web")
            probe.runner.own_rounds = (NOW + 60_000, NOW + 360_000)
        await until(lambda: probe.runner.waiting == 0)
        probe.runner.own_rounds = (NOW - 2 * MINUTE, NOW + 3 * MINUTE)
        probe.submit("s3/web")
        await until(lambda: bool(probe.done))
        assert [[target.id for target in planned.targets] for planned in probe.done] == [["s3/web"]]


async def test_refusals_and_unfinished_targets() -> None:
    async with running() as probe:
        probe.unfinished.add("s1/web")
        probe.submit("s1/web", "x/y")
        probe.submit("s2/web", affordable=0.0)
        probe.submit("s1/web", "s3/web")
        await until(lambda: bool(probe.done))
        assert [target.id for target in probe.done[0].targets] == ["s3/web"]
        await until(lambda: probe.runner.measured == 1)


async def test_a_clock_that_goes_back_does_not_delay_it_for_hours() -> None:
    async with running() as probe:
        probe.submit("s1/web")
        probe.now -= 5 * MINUTE
        await until(lambda: bool(probe.done))
