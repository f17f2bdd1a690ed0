# SPDX-License-Identifier: Apache-2.0
"""The figures as tables, and for each goal whether it is reached."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.world import costs as costing
from benchmarks.world.alarms import BARE, CONFIRMED, LIKELY, PAGE, SIGNATURE, Tally, rules
from benchmarks.world.blocks import BLACKHOLE, FULL, HALF, PEERING
from benchmarks.world.delays import COLUMNS, Delays
from benchmarks.world.figures import most, percentile
from benchmarks.world.independent import MEMBER_P1, P0, compared
from benchmarks.world.path import (
    GOAL_BYTES,
    GOAL_MICROSECONDS,
    GOAL_REPLAYED,
    GOAL_ROUND_SECONDS,
    PathCost,
    ReplayCost,
)
from benchmarks.world.retesting import Found, Saved
from monitor.detection.policy import Policy

TIMES = 1.5
"""How much liars may change anything."""
_FULL, _BLACKHOLE, _HALF = FULL.name, BLACKHOLE.name, HALF.name
_EVERYWHERE = ("N = 3, 60 s", "N = 5, 60 s", "N = 3, 300 s", "N = 5, 300 s", "N = 10, 300 s")
# (table, scenario, column, most minutes at the 95th percentile)
_WITHIN = (
    *((f"N = {n}, 60 s", _FULL, c, m) for n in (3, 5) for c, m in ((LIKELY, 5), (CONFIRMED, 10))),
    *((f"N = {n}, 300 s", _FULL, CONFIRMED, 20) for n in (3, 5, 10)),
    *((f"N = {n}, 60 s", _FULL, PAGE, 10) for n in (3, 5)),
    *((f"N = {n}, 300 s", _FULL, PAGE, 20) for n in (3, 5, 10)),
    *((where, _BLACKHOLE, LIKELY, 15) for where in _EVERYWHERE),
    *((where, _BLACKHOLE, CONFIRMED, 60) for where in _EVERYWHERE),
    *((f"N = {n}, 300 s", _HALF, LIKELY, 25) for n in (5, 10)),
)
_MOST = ((SIGNATURE, 0.1), (BARE, 1.0))
USUAL = 300
"""Seconds: longer intervals are compared with this one."""
TURNS_GOALS = {
    (USUAL, 3): 9.0,
    (USUAL, 5): 9.0,
    (1800, 3): 17.0,
    (1800, 5): 13.0,
    (1800, 10): 10.5,
}
"""Minutes within which a full block with signature is to be confirmed, by interval and vantages."""
USUAL_TURNS, SILENT_LIKELY, SILENT_CONFIRMED = 1800, 15.0, 60.0
"""Seconds: up to this interval, the default, a block without signature is to be likely
and confirmed within so many minutes."""
PAGES_A_MONTH = 1.0
"""For 1,000 series, after clustering."""


@dataclass
class Goals:
    """What was promised and what came of it."""

    lines: list[str] = field(default_factory=list)
    quiet: bool = False

    def say(self, reached: bool, text: str) -> None:
        """Add a line."""
        if not self.quiet:
            self.lines.append(f"{'reached' if reached else 'MISSED '}  {text}")

    def liars(self, before: int, honest: float, after: int, lying: float) -> None:
        """Compare confirmed false alarms with liars to those without."""
        without, with_them = before / honest, after / lying
        self.say(
            with_them <= TIMES * without or after == 0,
            f"always-fail liars: confirmed false alarms {without:.2f} -> {with_them:.2f} a year "
            f"({before} in {honest:.1f} and {after} in {lying:.1f} series-years; upper 95 % "
            f"{most(after) / lying:.2f}), at most x{TIMES}",
        )


def minutes(value: float) -> str:
    """A delay, short."""
    if math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def lockstep(
    title: str, tables: Mapping[str, Mapping[str, Delays]], goals: Goals, *, liars: bool = False
) -> None:
    """Print median / p95 in minutes, and judge."""
    print(f"\n{title}, minutes: median / 95th percentile")
    for table, by_scenario in tables.items():
        print(f"\n{table}")
        print(f"  {'':42}{'tries':>6}" + "".join(f"{c:>20}" for c in COLUMNS) + f"{'onset':>14}")
        for scenario, some in by_scenario.items():
            cells = [
                f"{minutes(percentile(v, 0.5))} / {minutes(percentile(v, 0.95))}"
                for v in some.minutes.values()
            ]
            off = f"{percentile(some.onsets, 0.5):+.0f} / {percentile(some.onsets, 0.95):+.0f}"
            count = len(some.minutes[LIKELY])
            print(f"  {scenario:42}{count:6}" + "".join(f"{c:>20}" for c in cells) + f"{off:>14}")
    if liars:
        _lying(tables, goals)
        return
    for table, scenario, column, within in _WITHIN:
        if scenario in tables.get(table, {}):
            late = percentile(tables[table][scenario].minutes[column], 0.95)
            goals.say(
                late <= within,
                f"{scenario}, {table}: {column} p95 {minutes(late)} min, at most {within}",
            )


def _lying(tables: Mapping[str, Mapping[str, Delays]], goals: Goals) -> None:
    for table, by_scenario in tables.items():
        plain, _, lie = table.partition(", ")
        if not lie:
            continue
        for scenario, some in by_scenario.items():
            for column in (LIKELY, CONFIRMED):
                with_them = percentile(some.minutes[column], 0.95)
                without = percentile(tables[plain][scenario].minutes[column], 0.95)
                goals.say(
                    with_them <= TIMES * without,
                    f"{scenario}, {plain}, 40 % {lie}: {column} p95 {minutes(without)} -> "
                    f"{minutes(with_them)} min, at most x{TIMES}",
                )


def alarms(title: str, tally: Tally, goals: Goals) -> None:
    """Print false alarms for each size, and judge."""
    print(f"\n{title} per service and network a year (upper 95 % bound; count)")
    for size in sorted(tally.years):
        years = tally.series_years(size)
        print(f"\nN = {size}, {years:.1f} series-years")
        for rule in rules():
            count = tally.alarms[size, rule]
            print(f"  {rule:30}{count / years:10.2f}   (<= {most(count) / years:8.2f}; {count})")
    print("\nWhat was behind them:")
    for (tier, cause), count in sorted(tally.causes.items(), key=lambda x: (x[0][0], -x[1])):
        print(f"  {tier:30}{count:5}  {cause}")
    whole = tally.all_years
    a_month = 1000 / whole / 12
    print(
        f"\nAfter clustering: {tally.confirmed} confirmed events, {tally.pages} of them pages, and "
        f"{tally.tickets} likely ones in {whole:.1f} series-years; fold "
        f"{1e6 * tally.seconds / tally.facts:.1f} us a fact"
    )
    for tier, few in _MOST:
        count = sum(tally.alarms[size, tier] for size in tally.years)
        bound = most(count) / whole
        goals.say(
            count / whole <= few,
            f"{tier}: {count / whole:.3f} a year, at most {few:g} ({count} in {whole:.1f} "
            f"series-years; upper 95 % {bound:.3f}{'' if bound <= few else ', above the goal'})",
        )
    bound = most(tally.pages) * a_month
    goals.say(
        tally.pages * a_month <= PAGES_A_MONTH,
        f"pages a month for 1,000 series: {tally.pages * a_month:.1f}, at most "
        f"{PAGES_A_MONTH:g} ({tally.pages} in {whole:.1f} series-years; upper 95 % {bound:.1f}"
        f"{'' if bound <= PAGES_A_MONTH else ', above the goal'})",
    )
    outages = sum(
        n for (tier, cause), n in tally.causes.items() if "outage" in cause and tier != LIKELY
    )
    goals.say(outages == 0, f"confirmed with an outage behind it: {outages}, at most 0")


def turns(worlds: Iterable[tuple[tuple[int, int, int, int | None], Found]], goals: Goals) -> None:
    """Print the delays when the vantages of a network take turns, and judge; beside them how many
    peering faults are taken for a block, and false alarms and retests while nothing is blocked.
    `worlds`: by interval in seconds, vantages and seed."""
    whole: dict[tuple[int, int], Found] = {}
    for (interval, size, *_), some in worlds:
        whole.setdefault((interval, size), Found()).add(some)
    print("\nVantages that take turns, with retests: median / p95, minutes")
    print(f"  {'':44}{'tries':>8}{LIKELY:>16}{CONFIRMED:>16}{PAGE:>8}{'requests':>10}")
    for name in (FULL.name, BLACKHOLE.name, PEERING.name):
        for (interval, size), found in whole.items():
            if (some := found.tries.get(name)) is not None:
                print(f"  {f'{name}, {interval} s, N = {size}':44}{_turns_cells(name, some)}")
                _judge_turns(name, interval, size, some, goals)
    print(
        "\nThe same while nothing is blocked: retests a day of a target and vantage, false alarms"
    )
    print(f"  {'':44}{'a day':>8}{'series-days':>13}{LIKELY:>10}{CONFIRMED:>10}{PAGE:>8}")
    for (interval, size), found in whole.items():
        quiet, title = found.quiet, f"{interval} s, N = {size}"
        alarms = "".join(
            f"{quiet.alarms[tier]:{width}}"
            for tier, width in zip((LIKELY, CONFIRMED, PAGE), (10, 10, 8), strict=True)
        )
        daily = quiet.retested / max(1.0, quiet.days)
        print(f"  {title:44}{daily:8.2f}{quiet.series_days:13.1f}{alarms}")
    for (interval, size), found in whole.items():
        usual, mine = whole.get((USUAL, size)), found.tries.get(PEERING.name)
        if interval != USUAL and usual is not None and mine is not None:
            paged, before = (
                sum(map(math.isfinite, each.minutes[PAGE])) / max(1, len(each.asked))
                for each in (mine, usual.tries[PEERING.name])
            )
            goals.say(
                paged <= before,
                f"peering faults, N = {size}: {paged:.1%} page with turns of {interval} s, "
                f"{before:.1%} with {USUAL} s",
            )


def _turns_cells(name: str, some: Saved) -> str:
    cells = [
        f"{minutes(percentile(v, 0.5))} / {minutes(percentile(v, 0.95))}"
        if name != PEERING.name
        else f"{sum(map(math.isfinite, v))} times"
        for v in (some.minutes[LIKELY], some.minutes[CONFIRMED])
    ]
    paged = sum(map(math.isfinite, some.minutes[PAGE])) if name == PEERING.name else "-"
    asked = sum(some.asked) / max(1, len(some.asked))
    return f"{len(some.asked):8}{cells[0]:>16}{cells[1]:>16}{paged:>8}{asked:10.1f}"


def _judge_turns(name: str, interval: int, size: int, some: Saved, goals: Goals) -> None:
    likely, late = (percentile(some.minutes[tier], 0.95) for tier in (LIKELY, CONFIRMED))
    title = f"{name}, N = {size}, turns of {interval} s"
    if name == FULL.name and (at_most := TURNS_GOALS.get((interval, size))) is not None:
        goals.say(late <= at_most, f"{title}: confirmed p95 {minutes(late)} min, {at_most:g}")
    if name == BLACKHOLE.name and interval <= USUAL_TURNS:
        goals.say(
            likely <= SILENT_LIKELY, f"{title}: likely p95 {minutes(likely)} min, {SILENT_LIKELY:g}"
        )
        goals.say(
            late <= SILENT_CONFIRMED,
            f"{title}: confirmed p95 {minutes(late)} min, {SILENT_CONFIRMED:g}",
        )


def independent(policy: Policy, seed: int, goals: Goals) -> None:
    """Print the single CUSUM beside the exact run length, and judge."""
    print("\nOne CUSUM on independent noise: mean samples to a false alarm (production code)")
    all_agree = True
    for p0 in P0:
        for p1 in MEMBER_P1:
            each = compared(p0, p1, 200, policy, seed)
            all_agree &= each.agrees
            print(
                f"  p0 {p0 / 10:4.1f} %  p1 {p1 / 10:4.0f} %  exact {each.exact:9.1f}  "
                f"simulated {each.simulated:9.1f} +- {each.error:.1f}"
            )
    goals.say(all_agree, "independent noise: within 3 standard errors of the exact run length")


def costs(policy: Policy, goals: Goals) -> None:
    """Print time and size, and judge."""
    cost = costing.measured(20, 8.0, 60, policy)
    print(
        f"\nCost (CPU time)\n  one target in {cost.networks} networks of five vantages: "
        f"{cost.microseconds:.1f} us a fact from object to event; state {cost.encoded:.0f} B a "
        f"network stored ({cost.saving:.0f} us to make)"
    )
    fleet = costing.fleet(policy)
    print(
        f"  {fleet.series:,} series (target, network, layer) of five vantages: {fleet.facts:,} "
        f"facts a round, {fleet.resident:.0f} B of memory a series"
    )
    seconds = max(fleet.seconds, fleet.on_the_hour)
    goals.say(
        seconds <= costing.GOAL_SECONDS,
        f"100,000 series x 5 vantages: {fleet.seconds:.1f} s a round, from objects to events "
        f"({fleet.on_the_hour:.1f} on the hour), at most {costing.GOAL_SECONDS:.0f}",
    )
    total = fleet.resident * fleet.series
    goals.say(
        total <= costing.GOAL_RESIDENT,
        f"their states: {total / 1e9:.2f} GB of memory, at most {costing.GOAL_RESIDENT / 1e9:.1f}",
    )
    goals.say(
        cost.encoded <= costing.GOAL_BYTES,
        f"state: {cost.encoded:.0f} B a network stored, at most {costing.GOAL_BYTES}",
    )
    events, same = costing.same_after_restarts(policy)
    goals.say(same, f"a restart after every round changes nothing ({events} events, each once)")


def path(cost: PathCost, goals: Goals) -> None:
    """Print what a round costs on its whole path, and judge."""
    turns = "at once" if cost.turns == 1 else f"in {cost.turns} turns"
    print(
        f"\nWhole path, stored fact to saved conclusion (SQLite): {cost.vantages} probes {turns} x "
        f"{cost.targets} targets, {cost.observations:.1f} observations a measurement: "
        f"{cost.microseconds:.0f} us of CPU a measurement, a round in {cost.seconds:.1f} s, "
        f"{cost.peak / 1e6:.0f} MB; {cost.stored:.1f} bytes of the store an observation"
    )
    if cost.turns == 1:
        goals.say(
            cost.stored <= GOAL_BYTES,
            f"{cost.vantages} probes: {cost.stored:.1f} bytes an observation with verdicts, at "
            f"most {GOAL_BYTES:.0f}",
        )
    goals.say(
        cost.microseconds <= GOAL_MICROSECONDS,
        f"{cost.vantages} probes: {cost.microseconds:.0f} us a measurement, at most "
        f"{GOAL_MICROSECONDS:.0f}",
    )
    goals.say(
        cost.seconds <= GOAL_ROUND_SECONDS,
        f"{cost.vantages} probes: a round of {cost.measurements:,} measurements is concluded in "
        f"{cost.seconds:.1f} s, at most {GOAL_ROUND_SECONDS:.0f}",
    )


def replay(cost: ReplayCost, goals: Goals) -> None:
    """Print what `reachwatch replay` costs, and judge."""
    rate = cost.measurements / cost.seconds
    print(
        f"\nreachwatch replay (SQLite): {cost.measurements:,} measurements in "
        f"{cost.seconds:.1f} s, {cost.microseconds:.0f} us of CPU each, "
        f"load {cost.load:.1f}"
    )
    goals.say(
        rate >= GOAL_REPLAYED,
        f"replay: {rate:,.0f} measurements a second, at least {GOAL_REPLAYED:,.0f}",
    )
