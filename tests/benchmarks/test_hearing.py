"""The benchmark of being heard: what it says of its goals, and that time jumps only in a pause."""

from __future__ import annotations

import asyncio
import json
import selectors
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.hearing import brokers, far_side, memory, timelapse, traffic, ways
from benchmarks.hearing.scenarios import SCENARIOS, SIX, How, Scenario
from benchmarks.probing import whole
from probes.catalogue.load import load

QUIET = traffic.Day("none", 24.0, 32_000_000, 1.25, 31_000_000, 48, 0.0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        pytest.param({}, [], id="as it should be"),
        pytest.param({"rate": 1.42}, ["month"], id="too much"),
        pytest.param({"own": 28_000_000}, ["own figure"], id="says too little"),
        pytest.param({"own": 36_000_000}, ["own figure"], id="says too much"),
        pytest.param({"rounds": 45}, ["interval"], id="rounds are missing"),
        pytest.param({"asked": 10, "answered": 7}, ["retests"], id="retests are missing"),
        pytest.param({"asked": 10, "answered": 8}, [], id="enough retests"),
    ],
)
def test_a_day_is_held_against_the_goals(changes: dict[str, Any], missed: list[str]) -> None:
    day = replace(QUIET, **changes)
    scenario = Scenario("x", SIX)
    assert day.misses(scenario) == missed
    assert ("MISSED" in day.line(scenario)) == bool(missed)


def test_retests_are_a_goal_where_services_are_blocked() -> None:
    few = replace(QUIET, asked=10, answered=7)
    assert few.misses(Scenario("line", flapping=True)) == []
    assert few.misses(Scenario("block", SIX)) == ["retests"]


def test_a_month_goes_on_as_the_second_half_of_what_was_played() -> None:
    assert QUIET.month_mb == pytest.approx(32 + 1.25 * (720 - 24))
    assert replace(QUIET, rounds=20).misses(Scenario("x")) == [], "the budget may lengthen them"


def test_the_rate_is_that_of_whole_rounds() -> None:
    """A round an hour of 1 MB, and 0.1 MB an hour between; the half begins in a pause."""
    counts = [traffic.Count(0.0, 0, 0, 0)]
    for hour in range(1, 7):
        spent = 1_100_000 * hour
        counts.append(traffic.Count(3600.0 * hour - 1800, hour, spent - 50_000, 0))
        counts.append(traffic.Count(3600.0 * hour, hour, spent, 0))
    assert traffic.later_rate(counts) == pytest.approx(1.1)
    borrowed = [replace(count, saved=-100_000.0 * count.rounds) for count in counts]
    assert traffic.later_rate(borrowed) == pytest.approx(1.0)
    assert traffic.later_rate(counts[:3]) == pytest.approx((1.1 - 1.05) / 0.5)


def test_all_that_the_goals_name_is_played() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    for number in ("1", "6", "all"):
        assert {f"{number}-{how.value}" for how in How} <= set(names)
    known = {service.id for service in load(None).services}
    assert set(SIX) <= known


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, True),
        ({"taken": 0}, False),
        ({"lost": 1}, False),
        ({"twice": 1}, False),
        ({"latest": ways.MOST_SECONDS + 1}, False),
    ],
)
def test_a_stage_is_reached_when_everything_came_once_and_soon(
    changes: dict[str, int], reached: bool
) -> None:
    heard = replace(ways.Heard("port", 5, 0, 0, 10.0), **changes)
    assert heard.reached is reached
    assert ("MISSED" in heard.line()) is not reached


def test_a_question_for_a_name_holds_its_labels() -> None:
    assert ways._label("a.example") == "|0161076578616d706c65|"


@pytest.mark.parametrize(
    ("last", "hidden", "reached"),
    [(60.0, "", True), (60.1, "", False), (50.1, whole.HIDDEN, False), (50.0, whole.HIDDEN, True)],
)
def test_memory_has_a_goal_with_and_without_quic(last: float, hidden: str, reached: bool) -> None:
    resident = memory.Resident(hidden, "3.13", last, last)
    assert resident.reached is reached
    assert ("MISSED" in resident.line()) is not reached


@pytest.mark.parametrize("size", [10, 127, 128, 60_000])
def test_a_hostile_broker_sends_whole_packets(size: int) -> None:
    packet = brokers._publish(size)
    length, shift, at = 0, 0, 1
    while True:
        length |= (packet[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if packet[at - 1] < 128:
            break
    assert len(packet) == at + length
    assert length >= size


def test_a_day_that_was_played_is_not_played_again(tmp_path: Path) -> None:
    file = tmp_path / "days"
    assert traffic.played(file) == {}
    days = [replace(QUIET, scenario=name) for name in ("none", "drips")]
    for day in days:
        traffic.keep(file, day)
    assert traffic.played(file) == {day.scenario: day for day in days}


def test_an_hour_that_ends_in_a_round_makes_no_round_of_the_pause_after_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a round ends, it is paid for: else its traffic would count as that of the pause."""
    monkeypatch.setattr(timelapse, "carried", lambda: 0)
    jumps = _jumps()
    (runner,) = jumps.runners
    jumps.accounts.clear()
    selector = timelapse.JumpingSelector(jumps, 2.0)

    def reported() -> list[int]:
        selector.select(0.0)
        return [json.loads(line)["rounds"] for line in capsys.readouterr().err.splitlines()]

    runner.rounds = 1
    assert [reported(), reported()] == [[1], []]
    runner.turns.busy, jumps.ahead = True, 3601.0
    assert [reported(), reported()] == [[1], []]
    runner.rounds = 2
    assert reported() == [], "a retest is in progress"
    runner.turns.busy = False
    assert [reported(), reported()] == [[2], []]


def _jumps(*, measuring: bool = False, empty: bool = True, transport: str = "mqtts+5"):
    jumps = timelapse.Jumps()
    jumps.accounts.append(object())
    jumps.runners.append(SimpleNamespace(turns=SimpleNamespace(busy=measuring), rounds=0))
    jumps.outboxes.append(
        SimpleNamespace(is_empty=empty, stats=SimpleNamespace(transport=transport))
    )
    return jumps


def test_time_jumps_in_a_pause_alone() -> None:
    assert _jumps().may_jump()
    assert not _jumps(measuring=True).may_jump()
    busy = _jumps()
    busy.threads = 1
    assert not busy.may_jump()
    for waiting in (_jumps(empty=False), _jumps(transport="")):
        waiting.stay(60.0)
        assert not waiting.may_jump(), "an answer may be on its way"
        waiting._calm_at = 0.0
        assert waiting.may_jump()
    assert not timelapse.Jumps().may_jump(), "before the daemon has begun"


async def test_a_wait_costs_little_and_a_byte_is_met_in_real_time() -> None:
    jumps = _jumps()
    with timelapse.JumpingSelector(jumps, hours=1e9) as selector:
        assert selector.select(1800.0) == []
        assert 1799 < jumps.ahead <= 1800
        reader, writer = await asyncio.get_running_loop().run_in_executor(None, _pipe)
        with reader, writer:
            selector.register(reader, selectors.EVENT_READ)
            writer.send(b"x")
            assert selector.select(1000.0)
            assert jumps.ahead <= 1800
            selector.unregister(reader)


def _pipe():
    import socket

    return socket.socketpair()


@pytest.mark.lab
@pytest.mark.rest
@pytest.mark.needs("iproute2", "nftables", "iptables", "nginx", "mosquitto")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
async def test_a_day_is_played_in_minutes() -> None:
    (refused,) = (one for one in SCENARIOS if one.name == "1-refused")
    day = await traffic.run(replace(refused, hours=1.2), whole.HIDDEN, sys.executable)
    assert day.rounds >= 2
    assert day.failing >= 1
    assert day.twice == 0
    assert 0.85 < day.own / day.counted < 1.15
    assert far_side.RESOLVER
