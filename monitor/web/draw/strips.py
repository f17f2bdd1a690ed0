# SPDX-License-Identifier: Apache-2.0
"""Timelines as strips: the state in each time slice, with equal neighbours merged into one run.

States differ by colour and by pattern (solid, hatch, dots, dotted line), for colour-blind readers
and black-and-white print. A round counts until the next one is due: slices between two rounds have
the state of the earlier one. A missing round leaves a gap.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import compress, pairwise
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from monitor.detection.model import Event, EventState, State, Tier
from monitor.detection.policy import Policy
from monitor.store.reading.counts import HourEverywhere, ServiceHour, StateCount
from monitor.store.service_hours import KINDS, WENT_DOWN
from monitor.text import words
from monitor.text.event_state import ended
from monitor.text.language import _, current, grouped, n_
from monitor.web.draw import event_marks
from monitor.web.draw.event_marks import Breadth, EventMark
from monitor.web.draw.slots import slots_of

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
    "mixed": "varies by vantage or time",
    "down": "service down",
    "unclear": "cause unclear",
    "none": "no data",
}
PARTIAL = frozenset(("part", "likely-part"))
"""Drawn above a strip of `ok`."""
HEIGHT, PARTIAL_HEIGHT = 16, 11
_SHARE_SEEN = 0.05
"""A smaller share of failures in an hour is drawn only where a series mostly failed."""
_UNCONFIRMED = {"blocked": "likely", "part": "likely-part"}


class LegendEntry(msgspec.Struct, frozen=True):
    """What a look means."""

    kind: str
    height: int
    """Of what has this kind, in sixteenths; the rest is reachable."""
    word: str


def legend(drawn: Iterable[Strip], control: Strip | None = None) -> list[LegendEntry]:
    """What is seen in these strips."""
    shown = [*drawn, control] if control is not None else list(drawn)
    looks = {(run.kind, run.below) for strip in shown for run in strip.runs}
    kinds = {below or kind for kind, below in looks}
    entries = [
        LegendEntry(kind, PARTIAL_HEIGHT if kind in PARTIAL else HEIGHT, _(word))
        for kind, word in _WORD.items()
        if kind in kinds
    ]
    entries += [
        LegendEntry(kind, 6, _("share of measurements: %(state)s", state=_(_WORD[kind])))
        for kind in ("blocked", "likely", "impaired")
        if any(below and kind == above for above, below in looks)
    ]
    marked = {mark.kind for strip in shown for mark in strip.marks}
    return entries + [
        LegendEntry(kind, PARTIAL_HEIGHT if kind in PARTIAL else HEIGHT, _(word))
        for kind, word in event_marks.WORDS.items()
        if kind in marked
    ]


class Window(msgspec.Struct, frozen=True):
    """A time span (Unix ms) in equal slices."""

    since: int
    until: int
    slices: int = SLICES
    last: int | None = None
    """Where what was measured ends: nothing is drawn after it. None: with the window."""

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


class StripRun(msgspec.Struct, frozen=True):
    """Consecutive slices that look the same."""

    kind: str
    word: str
    x: float
    width: float
    begin: int
    end: int
    n: int
    height: int = HEIGHT
    """Of `kind`, from the top, in sixteenths: the share of measurements that failed."""
    below: str = ""
    """The kind of the rest."""
    failing: int = 0
    """Of `n`, what failed as blocked."""

    @property
    def counted(self) -> str:
        """`48`, or `5 of 48` where a part failed: what is coloured by it is not all of them."""
        if 0 < self.failing < self.n:
            return _("%(n)s of %(total)s", n=self.failing, total=self.n)
        return str(self.n)


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
    marks: tuple[EventMark, ...] = ()


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
        if now - until > 3 * interval + policy.ms(policy.rounds.round_close_seconds):
            until = now
    spans = [policy.ms(each) for each in SPANS]
    need = until - oldest if oldest is not None else 0
    shortest = LARGE_SPAN_MS if large else 0
    span = next((each for each in spans if each >= max(need, shortest)), spans[-1])
    hourly = span >= (LARGE_SPAN_MS if large else 24 * HOUR_MS)
    slices = span // HOUR_MS if hourly else SLICES
    last = until if newest is None else min(until, newest + interval)
    if hourly:
        until += -until % HOUR_MS
    return Window(until - span, until, slices, last)


class _Measured:
    """What is known of each slice of a strip: verdicts, conclusive and failing ones, and the kinds
    of its series as a set of bits, empty where nothing was measured."""

    __slots__ = ("failing", "judged", "kinds", "n")

    def __init__(self, slices: int) -> None:
        self.n, self.judged = [0] * slices, [0] * slices
        self.failing, self.kinds = [0] * slices, [0] * slices

    def looks(self, *, coarse: bool) -> list[_Look]:
        """How each slice is drawn; coarse ones by the share of their measurements that failed."""
        if not coarse or not any(self.failing):
            return list(map(_plain_look, self.kinds))
        told = zip(self.kinds, self.judged, self.failing, strict=True)
        return [
            _share_look(kinds, judged, failing) if failing else _plain_look(kinds)
            for kinds, judged, failing in told
        ]


class _Look(msgspec.Struct, frozen=True):
    kind: str
    height: int = HEIGHT
    below: str = ""


_look = functools.cache(_Look)
"""Those that look the same are one."""


@functools.cache
def _plain_look(bits: int) -> _Look:
    return _look(_slice_kind(_kinds(bits)) or "none")


@functools.lru_cache(maxsize=4096)
def _share_look(bits: int, judged: int, failing: int) -> _Look:
    """The look of a coarse slice of which a share failed: all of it, or so small a share that it is
    not seen."""
    kinds, share = _kinds(bits), failing / judged
    failed = kinds & {"blocked", "impaired", "mixed"}
    kind = "impaired" if "impaired" in failed and "blocked" not in failed else "blocked"
    rest = _slice_kind(kinds - failed) or "ok"
    if share == 1:
        return _look(kind)
    if not failed and share < _SHARE_SEEN:
        return _look(rest)
    return _look(kind, min(HEIGHT - 2, max(2, round(HEIGHT * share))), rest)


_NOTHING = _look("none")


Row = StateCount | ServiceHour
"""What strips are drawn from: verdicts counted in slices, or sums of hours or days."""
Told = Row | HourEverywhere
"""What tells whether services worked."""


def strip(
    rows: Iterable[Row],
    window: Window,
    interval: int,
    events: Collection[Event] = (),
    *,
    breadth: Breadth = Breadth.EVENT,
    what: str = "",
) -> Strip:
    """Return the strip of the states in a window; `interval` in ms. Sums of hours need slices that
    are hours or longer. States are counted by series (network and target), so that a block of one
    series is not averaged away by the others; slices of an hour or more show the share of their
    measurements that failed. What fails as blocked while none of the `events` lasts that are
    confirmed is drawn as not confirmed, and events are drawn above it. `what` names what was
    measured, for the summary."""
    drawn = _drawn(_measured(rows, window), window, interval, events, what)
    if not events:
        return drawn
    measured = event_marks.joined((run.begin, run.end) for run in drawn.runs if run.kind != "none")
    marks = event_marks.event_marks(events, window.since, window.until, measured, breadth)
    return replace(drawn, marks=marks)


def _measured(rows: Iterable[Row], window: Window) -> _Measured:
    found = _Measured(window.slices)
    n, judged, failing, kinds = found.n, found.judged, found.failing, found.kinds
    series: dict[int, dict[tuple[int, str], Counter[str]]] = defaultdict(dict)
    slots = slots_of(window.since, window.until, window.width, window.slices)
    for row in rows:
        if type(row) is ServiceHour:
            if (index := slots[row.hour]) is None:
                continue
            n[index] += row.n
            kinds[index] |= row.kinds
            judged[index] += row.judged
            failing[index] += row.failing
        elif type(row) is StateCount:
            if (index := slots[row.begin]) is None:
                continue
            n[index] += row.n
            kind = _KIND[row.state]
            series[index].setdefault((row.asn, row.target), Counter())[kind] += row.n
            judged[index] += row.n * (kind != "none")
            failing[index] += row.n * (kind in ("blocked", "impaired"))
    for index, counted in series.items():
        for count in counted.values():
            kinds[index] |= _BITS[_series_kind(count)]
    return found


def strips_by(
    key: Callable[[Any], K],
    rows: Iterable[Row],
    window: Window,
    interval: int,
    events: Collection[Event] = (),
    breadth: Breadth = Breadth.COUNTRY,
) -> dict[K, Strip]:
    """A strip of all functions for each value that `key` gives for rows, of its rows and of the
    events for which it gives the same; the rest is as in `strip`."""
    mine: dict[K, list[Row]] = defaultdict(list)
    for row in rows:
        mine[key(row)].append(row)
    return {
        value: strip(
            some,
            window,
            interval,
            [event for event in events if key(event) == value],
            breadth=breadth,
            what=_("measured functions"),
        )
        for value, some in mine.items()
    }


def control_strip(
    rows: Iterable[Told], window: Window, interval: int, names: Mapping[str, str] | None = None
) -> Strip:
    """Whether the services themselves worked, as far as the rows say: `down` where one failed from
    its controls as well, `ok` where all were reached, or a control reached them when vantages did
    not, `unclear` where vantages failed and nothing tells, `mixed` where one was found down and was
    reached as well. Of several services (`names` by id) the summary names those that were
    down."""
    found = _Measured(window.slices)
    seen: dict[str, list[int]] = defaultdict(lambda: [0] * window.slices)
    telling = _TOLD | _UNTOLD | WENT_DOWN
    slots = slots_of(window.since, window.until, window.width, window.slices)
    for row in rows:
        if isinstance(row, StateCount):
            index, kinds, judged = slots[row.begin], _BITS[_KIND[row.state]], row.n
        else:
            index, kinds, judged = slots[row.hour], row.kinds, row.judged
        if index is not None and (kinds := kinds & telling):
            seen[row.service][index] |= kinds
            found.n[index] += judged
    down: set[str] = set()
    partly: set[str] = set()
    works = untold = False
    for index, each in enumerate(zip(*seen.values(), strict=True)):
        if not (together := functools.reduce(operator.or_, each)):
            continue
        failed: set[str] = set()
        if together & _DOWN:
            services = dict(zip(seen, each, strict=True))
            failed = {name for name, kinds in services.items() if kinds & _TOLD == _BITS["down"]}
            partly |= {name for name, kinds in services.items() if kinds & _DOWN} - failed
        told = bool(together & (_TOLD | _DOWN))
        works |= told
        # What is seen of a service tells, or is `unclear`.
        if together & _UNTOLD and not untold:
            untold = any(kinds and not kinds & (_TOLD | _DOWN) for kinds in each)
        kind = "down" if failed else "mixed" if together & _DOWN else "ok" if told else "unclear"
        found.kinds[index] = _BITS[kind]
        down |= failed
    drawn = _drawn(found, window, interval)
    # Of these measurements some may have failed there and tell by a control that it worked.
    runs = [replace(run, word=_("worked")) if run.kind == "ok" else run for run in drawn.runs]
    if not seen:
        summary = _("nothing was measured")
    elif not works:
        summary = _("nothing tells whether it worked")
    elif not down and partly:
        summary = _("found down at times, while others or other rounds reached it")
        if names is not None:
            listed = ", ".join(sorted(names.get(service, service) for service in partly))
            summary = f"{summary}: {listed}"
    elif not down and untold:
        summary = _("worked as far as can be told; at times nothing tells")
    elif not down:
        summary = _("worked whenever it was measured")
    elif names is None:
        summary = _("down everywhere at times")
    else:
        listed = ", ".join(sorted(names.get(service, service) for service in down))
        summary = _("down everywhere at times: %(services)s", services=listed)
    return replace(drawn, summary=summary, runs=tuple(runs))


_BITS = {kind: 1 << bit for bit, kind in enumerate(KINDS)}
_TOLD = sum(_BITS[kind] for kind in ("ok", "blocked", "impaired", "down"))
"""Kinds that tell whether the service itself worked."""
_UNTOLD = _BITS["unclear"]
_DOWN = _BITS["down"] | WENT_DOWN


@functools.cache
def _kinds(bits: int) -> frozenset[str]:
    return frozenset(kind for bit, kind in enumerate(KINDS) if bits >> bit & 1)


def _drawn(
    found: _Measured,
    window: Window,
    interval: int,
    events: Collection[Event] = (),
    what: str = "",
) -> Strip:
    width, since = window.width, window.since
    looks = _fill_gaps(found.looks(coarse=width >= HOUR_MS), found.kinds, width, interval)
    sure = [event for event in events if _is_confirmed(event)]
    soft = {} if sure else _UNCONFIRMED
    for index, look in enumerate(looks if sure else ()):
        begin = since + index * width
        if look.kind in _UNCONFIRMED and not _lasts(sure, begin, begin + width):
            looks[index] = _look(_UNCONFIRMED[look.kind], look.height, look.below)
    last = window.until if window.last is None else window.last
    whole = min(window.slices, max(0, (last - since) // width))
    changes = compress(range(1, whole), map(operator.is_not, looks[1:whole], looks))
    said = _words(current().language)
    runs: list[StripRun] = []
    for index, end in pairwise((0, *changes, whole) if whole else ()):
        look, n, failed = looks[index], sum(found.n[index:end]), sum(found.failing[index:end])
        kind = soft.get(look.kind, look.kind)
        runs.append(
            StripRun(
                kind,
                said[kind],
                index,
                end - index,
                since + index * width,
                since + end * width,
                n,
                look.height,
                look.below,
                failed,
            )
        )
    begin = since + whole * width
    if whole < window.slices and begin < last:
        # What is in this slice was measured before its end.
        share, look = (last - begin) / width, looks[whole]
        look = _look(soft.get(look.kind, look.kind), look.height, look.below)
        _append(runs, look, whole, share, begin, last, found.n[whole], found.failing[whole])
        _append(runs, _NOTHING, whole + share, 1 - share, last, begin + width, 0)
        whole += 1
    if rest := window.slices - whole:
        begin, end = since + whole * width, since + window.slices * width
        _append(runs, _NOTHING, whole, rest, begin, end, sum(found.n[whole:]))
    total, failing = sum(found.judged), sum(found.failing)
    summary = _summary(failing, total, what)
    if total and not failing and functools.reduce(operator.or_, found.kinds) & _UNTOLD:
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


def _append(
    runs: list[StripRun],
    look: _Look,
    x: float,
    width: float,
    begin: int,
    end: int,
    n: int,
    failing: int = 0,
) -> None:
    """Add a run, to the last one when they look the same."""
    kind, height, below = look.kind, look.height, look.below
    if runs and (runs[-1].kind, runs[-1].height, runs[-1].below) == (kind, height, below):
        last = runs.pop()
        x, width, begin = last.x, last.width + width, last.begin
        n, failing = last.n + n, last.failing + failing
    said = _words(current().language)
    runs.append(StripRun(kind, said[kind], x, width, begin, end, n, height, below, failing))


@functools.cache
def _words(_language: str) -> Mapping[str, str]:
    return {kind: _(word) for kind, word in _WORD.items()}


def _summary(failing: int, total: int, what: str) -> str:
    """How many measurements failed, and of what they are."""
    if not total:
        return _("nothing was measured")
    if not what:
        return n_(
            "%(failing)s of %(n)s measurement failed as blocked",
            "%(failing)s of %(n)s measurements failed as blocked",
            total,
            failing=grouped(failing),
        )
    return n_(
        "%(what)s: %(failing)s of %(n)s measurement failed as blocked",
        "%(what)s: %(failing)s of %(n)s measurements failed as blocked",
        total,
        failing=grouped(failing),
        what=what,
    )


def _is_confirmed(event: Event) -> bool:
    return event.tier is Tier.CONFIRMED and event.state is not EventState.RETRACTED


def _lasts(events: Iterable[Event], begin: int, end: int) -> bool:
    """Whether any of these events lasts in this time."""
    return any(e.onset_earliest < end and begin < (ended(e) or end) for e in events)


def _fill_gaps(looks: list[_Look], kinds: Sequence[int], width: int, interval: int) -> list[_Look]:
    """How each slice looks. Empty slices (of no `kinds`) look as the one before them for as long as
    a round counts: the usual distance between rounds in this strip, at least one interval, plus a
    slice for jitter."""
    seen = list(compress(range(len(kinds)), kinds))
    gaps = list(map(operator.sub, seen[1:], seen))
    if interval <= width and (not gaps or 2 * gaps.count(1) > len(gaps)):
        return looks  # rounds are usually in every slice, and none counts for longer than it is
    gaps.sort()
    own = -(-interval // width)
    # The median: of an even number the mean of the two in the middle, in whole slices.
    usual = (gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) // 2 if gaps else 0
    # Where rounds are missing, long gaps must not be taken for the usual distance.
    reach = max(own, min(usual, 12 * own)) + (1 if own > 1 or usual > 1 else 0)
    for index, following in pairwise((*seen, len(looks))) if reach > 1 else ():
        if following > index + 1:
            end = min(index + reach, following)
            looks[index:end] = [looks[index]] * (end - index)
    return looks


@functools.cache
def _slice_kind(found: frozenset[str]) -> str | None:
    """The kind of a slice from those of its series; None where nothing was measured."""
    kinds = found - {"none"} if len(found) > 1 else found
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
