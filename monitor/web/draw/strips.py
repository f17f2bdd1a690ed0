# SPDX-License-Identifier: Apache-2.0
"""Timelines as strips: the state in each time slice, with equal neighbours merged into one run.

States differ by colour and by pattern (solid, hatch, dots, dotted line), for colour-blind readers
and black-and-white print. A round counts until the next one is due: slices between two rounds have
the state of the earlier one. A missing round leaves a gap.
"""

from __future__ import annotations

import datetime as dt
import functools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from monitor.detection.model import Event, EventState, State, Tier
from monitor.detection.policy import Policy
from monitor.store.reading.counts import ServiceHour, StateCount
from monitor.store.service_hours import KINDS
from monitor.text import words
from monitor.text.event_state import ended
from monitor.text.language import _, current, grouped, n_, short_date

K = TypeVar("K")
SLICES = 96
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LARGE_SPAN_MS = 6 * HOUR_MS
"""The shortest window of a large fleet."""
SPANS = (1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600)
"""Possible lengths in seconds, divided by the pace: the shortest that holds all rounds is used."""
_KIND = {
    State.OK: "ok",
    State.BLOCKED: "blocked",
    State.THROTTLED: "impaired",
    State.IMPAIRED: "impaired",
    State.DOWN: "down",
    State.INCONCLUSIVE: "unclear",
    State.VANTAGE_OFFLINE: "none",
    State.INSUFFICIENT: "none",
}
_WORD = {
    "ok": "reachable",
    "blocked": "failing as blocked",
    "part": "failing as blocked in some networks or functions",
    "likely": "failing as blocked, not confirmed",
    "likely-part": "failing as blocked in some networks or functions, not confirmed",
    "impaired": "partly failing",
    "mixed": "vantages disagree",
    "down": "service down",
    "unclear": "cause unclear",
    "none": "no data",
}
PARTIAL = frozenset(("part", "likely-part"))
"""Drawn above a strip of `ok`."""
_CONCLUSIVE = frozenset(("ok", "blocked", "impaired", "down"))
_UNCONFIRMED = {"blocked": "likely", "part": "likely-part"}


def legend(drawn: Iterable[Strip], control: Strip | None = None) -> list[tuple[str, str]]:
    """(kind, word) of what is seen in these strips."""
    shown = [*drawn, control] if control is not None else drawn
    seen = {run.kind for strip in shown for run in strip.runs}
    return [(kind, _(word)) for kind, word in _WORD.items() if kind in seen]


class Window(msgspec.Struct, frozen=True):
    """A time span (Unix ms) in equal slices."""

    since: int
    until: int
    slices: int = SLICES

    @property
    def width(self) -> int:
        """Milliseconds of one slice."""
        return max(1, (self.until - self.since) // self.slices)

    @property
    def hourly(self) -> bool:
        """Whether hours can be drawn in it: no slice is shorter."""
        return self.width >= HOUR_MS and self.since % HOUR_MS == 0

    @property
    def daily(self) -> bool:
        """Whether days (UTC) can be drawn in it: no slice is shorter."""
        return self.width >= DAY_MS and self.since % DAY_MS == 0

    @property
    def length(self) -> str:
        """`30 min`, `48 h`."""
        return words.duration_text(self.until - self.since)


MINUTE_MS = 60_000
TICK_STEPS = (
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_MS for n in (1, 2, 7, 14)),
)
"""Possible distances of the ticks of a time axis in milliseconds; longer ones are months."""
MAX_TICKS = 8


class Tick(msgspec.Struct, frozen=True):
    """A mark of a time axis."""

    x: float
    """Percent of the width."""
    label: str
    minor: bool
    """Its label is left out where there is little room."""


def ticks(since: int, until: int) -> Sequence[Tick]:
    """At most MAX_TICKS marks at round times (UTC), with a time, or at midnight with the date."""
    length = until - since
    step = next((each for each in TICK_STEPS if length <= each * MAX_TICKS), None)
    if step is None:
        return _month_ticks(since, until)
    # Weeks begin on Mondays: 1970-01-01 was a Thursday.
    phase = 4 * DAY_MS if step % (7 * DAY_MS) == 0 else 0
    first = since + (phase - since) % step
    made = []
    for at in range(first, until, step):
        when = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
        label = _day(when) if at % DAY_MS == 0 else f"{when:%H:%M}"
        minor = (at - phase) // step % 2 == 1  # midnight never is, unless days are
        made.append(Tick(100 * (at - since) / length, label, minor))
    if made and all(":" in tick.label for tick in made):
        # No midnight inside: the first mark has the date, and the next ones leave it room.
        when = dt.datetime.fromtimestamp(first / 1000, dt.UTC)
        rest = (Tick(tick.x, tick.label, n % 2 == 0) for n, tick in enumerate(made[2:]))
        empty = (Tick(tick.x, "", minor=True) for tick in made[1:2])
        made = [Tick(made[0].x, f"{_day(when)}, {when:%H:%M}", minor=False), *empty, *rest]
    return made


def _day(when: dt.datetime) -> str:
    return short_date(when.date(), "MMMd", current().language)


def _month_ticks(since: int, until: int) -> Sequence[Tick]:
    begin = dt.datetime.fromtimestamp(since / 1000, dt.UTC)
    months = [
        dt.datetime(begin.year + number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)
        for number in range(begin.month, begin.month + 12 * 11)
    ]
    inside = [each for each in months if each.timestamp() * 1000 < until]
    every = -(-len(inside) // MAX_TICKS) or 1
    length = until - since
    return [
        Tick(
            100 * (each.timestamp() * 1000 - since) / length,
            short_date(
                each.date(),
                "yMMM" if each.month <= every or each is inside[0] else "MMM",
                current().language,
            ),
            minor=number % 2 == 1,
        )
        for number, each in enumerate(inside[::every])
    ]


class StripRun(msgspec.Struct, frozen=True):
    """Consecutive slices of the same kind."""

    kind: str
    word: str
    x: int
    width: int
    begin: int
    end: int
    n: int


class Strip(msgspec.Struct, frozen=True):
    """A strip: its runs over `slices` units of width, and a summary in one sentence."""

    runs: tuple[StripRun, ...]
    slices: int
    since: int
    until: int
    summary: str
    failing: int
    total: int
    """Measurements with any state but "no data"; `failing` of them failed as blocked."""


def longest(policy: Policy) -> int:
    """The longest time span of a strip, in milliseconds."""
    return policy.ms(SPANS[-1])


def window(
    now: int,
    oldest: int | None,
    newest: int | None,
    policy: Policy,
    interval: int,
    *,
    large: bool = False,
) -> Window:
    """The window that shows the rounds from `oldest` to `newest` (Unix ms).

    It ends with the interval (ms) of the newest round, or now when that is long ago, so that the
    gap is visible. In windows of a day or more a slice is an hour; in a `large` fleet, whose
    verdicts are too many to be counted for each page, always.
    """
    until = now
    if newest is not None:
        until = min(now, newest + interval)
        if now - until > 3 * interval + policy.ms(policy.round_close_seconds):
            until = now
    spans = [policy.ms(each) for each in SPANS]
    need = until - oldest if oldest is not None else 0
    shortest = LARGE_SPAN_MS if large else 0
    span = next((each for each in spans if each >= max(need, shortest)), spans[-1])
    hourly = span >= (LARGE_SPAN_MS if large else 24 * HOUR_MS)
    slices = span // HOUR_MS if hourly else SLICES
    if hourly:
        until += -until % HOUR_MS
    return Window(until - span, until, slices)


class _Slice:
    """What is known of one slice: kinds of its series, verdicts, conclusive and failing ones."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.n = self.judged = self.failing = 0


Row = StateCount | ServiceHour
"""What strips are drawn from: verdicts counted in slices, or sums of hours or days."""


def strip(
    rows: Iterable[Row], window: Window, interval: int, events: Collection[Event] = ()
) -> Strip:
    """Return the strip of the states in a window; `interval` in ms. Sums of hours need slices that
    are hours or longer. States are counted by series (network and target), so that a block of one
    series is not averaged away by the others. What fails as blocked while `events` last of which
    none is confirmed is drawn as likely."""
    slices = [_Slice() for _ in range(window.slices)]
    series: list[dict[tuple[int, str], Counter[str]]] = [{} for _ in slices]
    for row in rows:
        if (index := _index(window, row.begin)) is None:
            continue
        one = slices[index]
        one.n += row.n
        if isinstance(row, ServiceHour):
            one.kinds |= _kinds(row.kinds)
            one.judged += row.judged
            one.failing += row.failing
        else:
            kind = _KIND[row.state]
            series[index].setdefault((row.asn, row.target), Counter())[kind] += row.n
            one.judged += row.n * (kind != "none")
            one.failing += row.n * (kind in ("blocked", "impaired"))
    for one, counted in zip(slices, series, strict=True):
        one.kinds |= {_series_kind(count) for count in counted.values()}
    return _drawn(slices, window, interval, events)


def strips_by(
    key: Callable[[Any], K],
    rows: Iterable[Row],
    window: Window,
    interval: int,
    events: Collection[Event] = (),
) -> dict[K, Strip]:
    """A strip for each value that `key` gives for rows, of its rows and of the events for which
    it gives the same; the rest is as in `strip`."""
    mine: dict[K, list[Row]] = defaultdict(list)
    for row in rows:
        mine[key(row)].append(row)
    return {
        value: strip(some, window, interval, [each for each in events if key(each) == value])
        for value, some in mine.items()
    }


def control_strip(
    rows: Iterable[Row], window: Window, interval: int, names: Mapping[str, str] | None = None
) -> Strip:
    """Whether the services themselves worked, as far as the rows say: `down` where one failed from
    its controls as well, `ok` where all were reached, or a control reached them when vantages did
    not. Of several services (`names` by id) the summary names those that were down."""
    slices = [_Slice() for _ in range(window.slices)]
    seen: list[dict[str, set[str]]] = [{} for _ in slices]
    for row in rows:
        kinds, judged = (
            (_kinds(row.kinds), row.judged)
            if isinstance(row, ServiceHour)
            else (frozenset((_KIND[row.state],)), row.n)
        )
        kinds &= _CONCLUSIVE
        if kinds and (index := _index(window, row.begin)) is not None:
            seen[index].setdefault(row.service, set()).update(kinds)
            slices[index].n += judged
    down: set[str] = set()
    for one, services in zip(slices, seen, strict=True):
        failed = {service for service, kinds in services.items() if kinds == {"down"}}
        one.kinds = {"down"} if failed else {"ok"} if services else set()
        down |= failed
    drawn = _drawn(slices, window, interval)
    if not any(seen):
        summary = _("nothing was measured")
    elif not down:
        summary = _("worked whenever it was measured")
    elif names is None:
        summary = _("down everywhere at times")
    else:
        listed = ", ".join(sorted(names.get(service, service) for service in down))
        summary = _("down everywhere at times: %(services)s", services=listed)
    return replace(drawn, summary=summary)


@functools.cache
def _kinds(bits: int) -> frozenset[str]:
    return frozenset(kind for bit, kind in enumerate(KINDS) if bits >> bit & 1)


def _index(window: Window, at: int) -> int | None:
    if not window.since <= at < window.until:
        return None
    return min(window.slices - 1, (at - window.since) // window.width)


def _drawn(
    slices: Sequence[_Slice], window: Window, interval: int, events: Collection[Event] = ()
) -> Strip:
    kinds = _fill_gaps([_slice_kind(one.kinds) for one in slices], window, interval)
    runs: list[StripRun] = []
    for index, (kind, one) in enumerate(zip(kinds, slices, strict=True)):
        begin = window.since + index * window.width
        end = begin + window.width
        if kind in _UNCONFIRMED and _only_likely(events, begin, end):
            kind = _UNCONFIRMED[kind]
        if runs and (last := runs[-1]).kind == kind:
            runs[-1] = replace(last, width=last.width + 1, end=end, n=last.n + one.n)
        else:
            runs.append(StripRun(kind, _(_WORD[kind]), index, 1, begin, end, one.n))
    total = sum(one.judged for one in slices)
    failing = sum(one.failing for one in slices)
    summary = _("nothing was measured")
    if total:
        summary = n_(
            "%(failing)s of %(n)s measurement failed as blocked",
            "%(failing)s of %(n)s measurements failed as blocked",
            total,
            failing=grouped(failing),
        )
    if total and not failing and any("unclear" in one.kinds for one in slices):
        # As in imported measurements, which have no control: "0 failed" alone would be read as
        # "all worked", beside an event that rests on these failures.
        summary = _("%(summary)s; others failed for an unclear cause", summary=summary)
    return Strip(
        runs=tuple(runs),
        slices=window.slices,
        since=window.since,
        until=window.until,
        summary=summary,
        failing=failing,
        total=total,
    )


def _only_likely(events: Collection[Event], begin: int, end: int) -> bool:
    """Whether events last in this time, none of them confirmed."""
    here = [e for e in events if e.onset_earliest < end and begin < (ended(e) or end)]
    return bool(here) and not any(
        e.tier is Tier.CONFIRMED and e.state is not EventState.RETRACTED for e in here
    )


def _fill_gaps(kinds: Sequence[str | None], window: Window, interval: int) -> list[str]:
    """Empty slices take the kind before them for as long as a round counts: the usual distance
    between rounds in this strip, at least one interval, plus a slice for jitter."""
    seen = [index for index, kind in enumerate(kinds) if kind is not None]
    gaps = [b - a for a, b in pairwise(seen)]
    own = -(-interval // window.width)
    usual = int(statistics.median(gaps)) if gaps else 0
    # Where rounds are missing, long gaps must not be taken for the usual distance.
    reach = max(own, min(usual, 12 * own)) + (1 if own > 1 or usual > 1 else 0)
    filled: list[str] = []
    last = -reach - 1
    for index, kind in enumerate(kinds):
        if kind is not None:
            last = index
            filled.append(kind)
        else:
            filled.append(str(kinds[last]) if last >= 0 and index - last < reach else "none")
    return filled


def _slice_kind(found: Collection[str]) -> str | None:
    """The kind of a slice from those of its series; None where nothing was measured."""
    kinds = set(found)
    if len(kinds) > 1:
        kinds.discard("none")
    if len(kinds) <= 1:
        return next(iter(kinds), None)
    if kinds & {"blocked", "part"}:
        return "part"
    return "impaired" if "impaired" in kinds else "mixed"


def _series_kind(count: Counter[str]) -> str:
    """The kind of a series in a slice."""
    counted = {kind: n for kind, n in count.items() if kind != "none"}
    if not counted:
        return "none"
    total = sum(counted.values())
    kind = min(counted, key=lambda each: (-counted[each], each))
    # A slice has one kind only when three quarters of its verdicts agree.
    return kind if counted[kind] * 4 >= total * 3 else "mixed"


class CoverageRun(msgspec.Struct, frozen=True):
    """Slices in a row in which equally many vantages measured."""

    n: int
    x: int
    width: int
    begin: int
    end: int

    @property
    def label(self) -> str:
        """`3 vantages`, `nobody`."""
        return words.plural(self.n, "vantage") if self.n else _("nobody")


class VantageCoverage(msgspec.Struct, frozen=True):
    """A strip of counts over `slices` units of width; heights are shares of `most`."""

    runs: tuple[CoverageRun, ...]
    slices: int
    since: int
    until: int
    most: int
    summary: str


def coverage_window(window: Window, interval: int) -> Window:
    """The window in slices no shorter than an interval (ms), so that each holds a round."""
    length = window.until - window.since
    return Window(
        window.since, window.until, max(1, min(window.slices, length // max(1, interval)))
    )


def coverage_strip(counts: Mapping[int, int], window: Window) -> VantageCoverage:
    """Return the strip; `counts` are vantages by number of slice."""
    runs: list[CoverageRun] = []
    for index in range(window.slices):
        n = counts.get(index, 0)
        begin = window.since + index * window.width
        end = begin + window.width
        if runs and (last := runs[-1]).n == n:
            runs[-1] = replace(last, width=last.width + 1, end=end)
        else:
            runs.append(CoverageRun(n, index, 1, begin, end))
    most = max((run.n for run in runs), default=0)
    return VantageCoverage(
        tuple(runs), window.slices, window.since, window.until, most, _summary(runs, most)
    )


def _summary(runs: list[CoverageRun], most: int) -> str:
    if most == 0:
        return _("Nobody measured in this period, so nothing is known about it.")
    seen = [run for run in runs if run.n]
    least = min(run.n for run in seen)
    label = (
        n_("%(n)s vantage measured", "%(n)s vantages measured", most)
        if least == most
        else n_(
            "%(least)s to %(n)s vantage measured at a time",
            "%(least)s to %(n)s vantages measured at a time",
            most,
            least=least,
        )
    )
    gap = sum(run.end - run.begin for run in runs if not run.n)
    if not gap:
        return _("%(vantages)s all the time.", vantages=label)
    return _(
        "%(vantages)s; no measurements for %(time)s, so nothing is known about that time.",
        vantages=label,
        time=words.duration_text(gap),
    )
