"""Strips: rounds fill their time, gaps stay gaps, and no series is averaged away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.model import Event, EventState, State, Tier
from monitor.detection.policy import Policy
from monitor.store.reading.counts import ServiceHour, StateCount
from monitor.store.service_hours import HOUR_MS, KINDS, WENT_DOWN
from monitor.web.draw import strips
from monitor.web.draw.strips import (
    Window,
    control_strip,
    legend,
    strip,
    window,
)
from tests.monitor.web.pages.test_overview import EVENTS
from tests.world import site as world

MINUTE = 60_000
ROUND = 5 * MINUTE
SPAN = Window(0, 96 * MINUTE, 96)


def count(at: int, state: State, n: int = 1, series: tuple[int, str] = (0, "")) -> StateCount:
    return StateCount(at, series[1], "", series[0], state, n)


def kinds(
    *samples: StateCount, chosen: Window = SPAN, interval: int = ROUND
) -> list[tuple[str, int]]:
    return [(run.kind, run.width) for run in strip(samples, chosen, interval).runs]


def rounds(first: int, last: int, state: State = State.OK, **more: object) -> list[StateCount]:
    return [count(n * ROUND, state, **more) for n in range(first, last)]  # type: ignore[arg-type]


def test_nothing_measured_is_one_dotted_run() -> None:
    drawn = strip([], SPAN, ROUND)
    assert [(run.kind, run.width, run.n) for run in drawn.runs] == [("none", 96, 0)]
    assert drawn.summary == "nothing was measured"


def test_rounds_fill_their_interval() -> None:
    assert kinds(*rounds(0, 19)) == [("ok", 96)]
    assert kinds(*rounds(0, 10), *rounds(10, 19, State.BLOCKED)) == [("ok", 50), ("likely", 46)]


def test_a_missing_round_leaves_a_gap() -> None:
    assert kinds(*rounds(0, 5), *rounds(8, 19))[1][0] == "none"


def test_a_single_round_fills_no_more_than_its_interval() -> None:
    assert kinds(count(0, State.OK)) == [("ok", 6), ("none", 90)]


def test_sparse_rounds_are_not_joined_over_hours() -> None:
    chosen = Window(0, 96 * 30 * MINUTE, 96)
    sparse = [count(n * 96 * 10 * MINUTE, State.OK) for n in range(3)]
    drawn = kinds(*sparse, chosen=chosen)
    assert max(width for kind, width in drawn if kind == "ok") <= 14


def test_slices_between_rounds_are_filled_where_rounds_are_usually_apart() -> None:
    wide = Window(0, 96 * ROUND, 96)
    apart = [count(n * ROUND, State.OK) for n in (0, 1, 4, 7, 10)]
    assert kinds(*apart, chosen=wide) == [("ok", 14), ("none", 82)]
    close = [count(n * ROUND, State.OK) for n in (0, 1, 2, 3, 6)]
    assert kinds(*close, chosen=wide) == [("ok", 4), ("none", 2), ("ok", 1), ("none", 89)]


def test_a_block_of_one_series_is_never_averaged_away() -> None:
    many = [s for n in range(9) for s in rounds(0, 19, series=(n, "x"))]
    one = rounds(0, 19, State.BLOCKED, series=(9, "x"))
    assert kinds(*many, *one) == [("likely-part", 96)]
    assert kinds(*one) == [("likely", 96)]
    down = rounds(0, 19, State.DOWN, series=(8, "y"))
    assert kinds(*rounds(0, 19), *down) == [("mixed", 96)]


def test_vantages_of_one_series_must_mostly_agree() -> None:
    assert kinds(count(0, State.OK, 3), count(0, State.BLOCKED, 1))[0][0] == "ok"
    assert kinds(count(0, State.OK, 2), count(0, State.BLOCKED, 2))[0][0] == "mixed"
    offline = count(0, State.VANTAGE_OFFLINE, 9)
    assert kinds(offline, count(0, State.OK, 1))[0][0] == "ok"
    assert kinds(offline)[0][0] == "none"


@given(
    st.lists(
        st.builds(
            count,
            at=st.integers(-MINUTE, 97 * MINUTE),
            state=st.sampled_from(State),
            n=st.integers(1, 50),
            series=st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"])),
        ),
        max_size=60,
    ),
    st.integers(1, 10 * ROUND),
)
def test_runs_tile_the_window_and_lose_nothing(samples: list[StateCount], interval: int) -> None:
    drawn = strip(samples, SPAN, interval)
    assert sum(run.width for run in drawn.runs) == 96
    assert [run.x for run in drawn.runs[1:]] == [run.x + run.width for run in drawn.runs[:-1]]
    inside = [s for s in samples if 0 <= s.begin < 96 * MINUTE]
    assert sum(run.n for run in drawn.runs) == sum(s.n for s in inside)
    assert drawn.failing <= drawn.total <= sum(s.n for s in inside)
    assert strip(list(reversed(samples)), SPAN, interval) == drawn
    assert all(run.word for run in drawn.runs)


def test_the_window_is_as_long_as_there_is_something_to_see() -> None:
    policy = Policy()
    now = 1_800_000_000_000
    hour = 60 * MINUTE
    assert window(now, None, None, policy, ROUND).length == "30 min"
    assert window(now, now - 20 * MINUTE, now - ROUND, policy, ROUND).length == "30 min"
    assert window(now, now - 5 * hour, now, policy, ROUND).length == "6 h"
    assert window(now, now - 900 * hour, now, policy, ROUND).length == "2 d"
    assert window(now, now - 100_000, now, Policy(pace=10), 6_000).length == "3 min"
    assert strips.longest(Policy(pace=10)) == 48 * hour // 10


def test_a_large_fleet_has_slices_of_an_hour_from_the_start() -> None:
    now = 1_800_000_000_000
    young = window(now, now - 20 * MINUTE, now, Policy(), ROUND, large=True)
    assert (young.length, young.slices, young.hourly) == ("6 h", 6, True)
    assert young.until % (60 * MINUTE) == 0
    longer = window(now, now - 500 * MINUTE, now, Policy(), ROUND, large=True)
    assert (longer.length, longer.slices) == ("12 h", 12)
    fast = window(now, now - 100_000, now, Policy(pace=30), 6_000, large=True)
    assert not fast.hourly


def test_the_window_ends_with_the_newest_round_unless_that_is_long_ago() -> None:
    policy, now = Policy(), 1_800_000_000_000
    assert window(now, now - hourly(1), now - 7 * MINUTE, policy, ROUND).until == now - 2 * MINUTE
    assert window(now, now - hourly(1), now - MINUTE, policy, ROUND).until == now
    assert window(now, now - hourly(1), now - 55 * MINUTE, policy, ROUND).until == now


def hourly(n: int) -> int:
    return n * 60 * MINUTE


def test_long_windows_are_cut_at_full_hours() -> None:
    chosen = window(1_800_000_123_456, 1, 1_800_000_000_000, Policy(), ROUND)
    assert chosen.width == hourly(1)
    assert chosen.since % hourly(1) == chosen.until % hourly(1) == 0
    assert chosen.until > 1_800_000_123_456 - 1


def test_failures_of_unclear_cause_are_not_passed_over_in_silence() -> None:
    """An event of imported measurements rests on them."""
    said = "0 of 10 measurements failed as blocked; others failed for an unclear cause"
    counts = [count(0, State.OK, 8), count(MINUTE, State.INCONCLUSIVE, 2)]
    assert strip(counts, SPAN, ROUND).summary == said
    hour = ServiceHour("a", "RU", 1, 0, 1 << KINDS.index("unclear"), 10, 10, 0, 1)
    assert strip([hour], Window(0, HOUR_MS, 1), ROUND).summary == said
    blocked = strip([*counts, count(0, State.BLOCKED)], SPAN, ROUND)
    assert blocked.summary == "1 of 11 measurements failed as blocked"


def test_a_block_in_part_is_not_averaged_away() -> None:
    window = Window(0, 10 * MINUTE, 1)
    counts = [
        StateCount(0, "a/x", "RU", 1, State.BLOCKED, 5),
        StateCount(0, "a/x", "RU", 2, State.OK, 5),
    ]
    drawn = strip(counts, window, 10 * MINUTE)
    assert [run.kind for run in drawn.runs] == ["likely-part"]
    slow = [StateCount(0, "a/x", "RU", 1, State.THROTTLED, 5), counts[1]]
    assert [run.kind for run in strip(slow, window, 10 * MINUTE).runs] == ["impaired"]
    assert "failing as blocked in some networks or functions, not confirmed" in [
        entry.word for entry in legend([drawn])
    ]


def hour(n: int, kinds: set[str], country: str = "RU", service: str = "wechat") -> ServiceHour:
    bits = sum(1 << KINDS.index(kind) for kind in kinds)
    return ServiceHour(service, country, -1, n * HOUR_MS, bits, 10, 10, 0, 3)


def test_the_control_row_says_whether_the_service_itself_worked() -> None:
    window = Window(0, 4 * HOUR_MS, 4)
    rows = [
        hour(0, {"ok"}), hour(1, {"blocked"}), hour(2, {"down"}), hour(3, {"down", "unclear"}),
        hour(3, {"ok"}, "FR"),
    ]  # fmt: skip
    drawn = control_strip(rows, window, HOUR_MS)
    assert [(run.kind, run.width) for run in drawn.runs] == [("ok", 2), ("down", 1), ("mixed", 1)]
    # One of the measurements of these two hours failed, and tells that the service worked.
    assert [run.word for run in drawn.runs][:2] == ["worked", "service down"]
    assert drawn.summary == "down everywhere at times"
    unclear = control_strip([hour(0, {"unclear"})], window, HOUR_MS)
    assert [run.kind for run in unclear.runs] == ["unclear", "none"]
    assert unclear.summary == "nothing tells whether it worked"
    assert control_strip([], window, HOUR_MS).summary == "nothing was measured"


def test_a_service_that_was_down_for_minutes_is_not_said_to_have_worked() -> None:
    """Within an hour or a day others, or other rounds, reached it."""
    window = Window(0, 3 * HOUR_MS, 3)
    for_minutes = hour(1, {"ok", "mixed"})
    for_minutes = replace(for_minutes, kinds=for_minutes.kinds | WENT_DOWN)
    drawn = control_strip([hour(0, {"ok"}), for_minutes, hour(2, {"ok"})], window, HOUR_MS)
    assert [run.kind for run in drawn.runs] == ["ok", "mixed", "ok"]
    assert drawn.summary == "found down at times, while others or other rounds reached it"
    named = control_strip([for_minutes], window, HOUR_MS, {"wechat": "WeChat"})
    assert named.summary == f"{drawn.summary}: WeChat"
    # It is no kind of its own: strips of vantages look as they do without.
    assert strip([for_minutes], window, HOUR_MS) == strip(
        [hour(1, {"ok", "mixed"})], window, HOUR_MS
    )


def test_what_worked_is_not_said_to_go_on_while_vantages_fail_for_an_unclear_cause() -> None:
    window = Window(0, 4 * HOUR_MS, 4)
    rows = [hour(0, {"ok"}), *(hour(n, {"unclear"}) for n in (1, 2, 3))]
    drawn = control_strip(rows, window, HOUR_MS)
    assert [(run.kind, run.width) for run in drawn.runs] == [("ok", 1), ("unclear", 3)]
    assert drawn.summary == "worked as far as can be told; at times nothing tells"


def test_the_control_row_of_several_services_names_those_that_were_down() -> None:
    window = Window(0, 3 * HOUR_MS, 3)
    rows = [hour(n, {"ok"}) for n in range(3)]
    rows += [hour(1, {"down"}, service="signal"), hour(2, {"blocked"}, service="signal")]
    drawn = control_strip(rows, window, HOUR_MS, {"signal": "Signal"})
    assert [(run.kind, run.n) for run in drawn.runs] == [("ok", 10), ("down", 20), ("ok", 20)]
    assert drawn.summary == "down everywhere at times: Signal"
    fine = control_strip(rows[:3], window, HOUR_MS, {})
    assert fine.summary == "worked whenever it was measured"


def test_the_control_row_of_short_slices_is_made_of_verdicts() -> None:
    counts = [
        *(count(n * ROUND, State.BLOCKED, series=(1, "a/x")) for n in range(9)),
        *(count(n * ROUND, State.DOWN, series=(1, "a/x")) for n in range(9, 19)),
    ]
    drawn = control_strip(counts, SPAN, ROUND)
    assert [(run.kind, run.width) for run in drawn.runs] == [("ok", 45), ("down", 51)]


def event(tier: Tier, begin: int, end: int | None, state: EventState = EventState.OPEN) -> Event:
    return replace(
        EVENTS[world.CONFIRMED],
        tier=tier,
        state=state,
        onset_earliest=begin,
        closed=end,
    )


def test_failures_outside_of_confirmed_events_look_different() -> None:
    failing = rounds(0, 19, State.BLOCKED)
    likely = event(Tier.LIKELY, 40 * MINUTE, 60 * MINUTE, EventState.CLOSED)

    def drawn(*events: Event, counts: list[StateCount] = failing) -> list[tuple[str, int]]:
        return [(run.kind, run.width) for run in strip(counts, SPAN, ROUND, events).runs]

    assert drawn() == drawn(likely) == [("likely", 96)]
    assert drawn(event(Tier.UNCONFIRMED, 40 * MINUTE, None)) == [("likely", 96)]
    retracted = event(Tier.CONFIRMED, 40 * MINUTE, 60 * MINUTE, EventState.RETRACTED)
    assert drawn(retracted) == [("likely", 96)]
    confirmed = event(Tier.CONFIRMED, 40 * MINUTE, 60 * MINUTE, EventState.CLOSED)
    assert drawn(confirmed) == [("likely", 40), ("blocked", 20), ("likely", 36)]
    assert drawn(likely, event(Tier.CONFIRMED, 0, None)) == [("blocked", 96)]
    part = [*failing, *rounds(0, 19, series=(2, "y"))]
    assert drawn(event(Tier.LIKELY, 0, None), counts=part) == [("likely-part", 96)]
    assert drawn(event(Tier.LIKELY, 0, None), counts=rounds(0, 19)) == [("ok", 96)]
    unfinished = Window(0, 96 * MINUTE, 10, last=90 * MINUTE)
    assert {run.kind for run in strip(failing, unfinished, ROUND).runs} == {"likely", "none"}


def failing_hour(n: int, judged: int, failing: int, *kinds: str) -> ServiceHour:
    return replace(hour(n, set(kinds)), n=judged, judged=judged, failing=failing)


def test_an_hour_shows_the_share_of_its_measurements_that_failed() -> None:
    window = Window(0, 5 * HOUR_MS, 5)
    rows = [
        failing_hour(0, 100, 0, "ok"),
        failing_hour(1, 100, 50, "ok", "mixed"),
        failing_hour(2, 100, 100, "blocked"),
        failing_hour(3, 1000, 3, "ok"),
        failing_hour(4, 1000, 3, "ok", "blocked"),
    ]
    drawn = strip(rows, window, HOUR_MS, what="web client")
    assert [(run.kind, run.height, run.below) for run in drawn.runs] == [
        ("ok", 16, ""),
        ("likely", 8, "ok"),
        ("likely", 16, ""),
        ("ok", 16, ""),
        ("likely", 2, "ok"),
    ]
    assert drawn.summary == "web client: 156 of 2\u202f300 measurements failed as blocked"
    assert "share of measurements: failing as blocked, not confirmed" in [
        e.word for e in legend([drawn])
    ]
    slow = strip([failing_hour(0, 10, 5, "ok", "impaired")], Window(0, HOUR_MS, 1), HOUR_MS)
    assert [(run.kind, run.below) for run in slow.runs] == [("impaired", "ok")]


def test_nothing_is_drawn_after_the_last_measurement() -> None:
    window = Window(0, 4 * HOUR_MS, 4, last=2 * HOUR_MS + 15 * MINUTE)
    rows = [failing_hour(n, 10, 0, "ok") for n in range(3)]
    drawn = strip(rows, window, HOUR_MS)
    assert [(run.kind, run.end) for run in drawn.runs] == [
        ("ok", 2 * HOUR_MS + 15 * MINUTE),
        ("none", 4 * HOUR_MS),
    ]
    assert [run.width for run in drawn.runs] == [2.25, 1.75]


def test_a_block_of_minutes_is_seen_in_a_day() -> None:
    short = replace(
        EVENTS[world.CONFIRMED],
        state=EventState.CLOSED,
        onset=HOUR_MS + 5 * MINUTE,
        closed=HOUR_MS + 12 * MINUTE,
        ended_latest=HOUR_MS + 7 * MINUTE,
    )
    rows = [failing_hour(n, 200, 6 if n == 1 else 0, "ok") for n in range(24)]
    drawn = strip(rows, Window(0, 24 * HOUR_MS, 24), ROUND, [short])
    assert [run.kind for run in drawn.runs] == ["ok"]
    assert [(mark.kind, mark.end - mark.begin) for mark in drawn.marks] == [("blocked", 2 * MINUTE)]
    assert "event: blocked (confirmed)" in [entry.word for entry in legend([drawn])]
