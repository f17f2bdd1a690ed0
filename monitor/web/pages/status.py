# SPDX-License-Identifier: Apache-2.0
"""The health of the system: arrivals, lags, quarantine, versions."""

from __future__ import annotations

import datetime as dt
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

import monitor
from monitor.collector.admission import QuarantineReason
from monitor.detection.all_rules import RULES_VERSION
from monitor.metrics.lags import Histogram
from monitor.network_table import is_old
from monitor.store.followed import FAILURES, RUNS, SourceProgress, progress_of
from monitor.store.reading.progress import (
    MAX_ARRIVALS,
    Arrival,
    count_unread,
    detector_leases,
    folded_rounds,
    ingest_counters,
    last_received,
    recent_arrivals,
    store_bytes,
)
from monitor.text import language, words
from monitor.web.answers import PUBLIC, json_answer
from monitor.web.detector_health import DetectorCourse, DetectorHealth, detector_health
from monitor.web.fleet import active, fleet, vantage_health
from monitor.web.freshness import STALLED_MS
from monitor.web.moment import site_of
from monitor.web.params import BadParameterError
from monitor.web.render import render
from monitor.web.site import Site
from probes.runtime.geo_table import GeoTable, Origin

LOOK_BACK_SECONDS = 900
"""Time span of rates, divided by the pace; at least three rounds."""
QUARANTINE = {
    "malformed_batch": "a batch that cannot be read",
    "malformed_line": "a measurement that cannot be read",
    "malformed_status": "a status message that cannot be read",
    "unknown_probe": "from a probe that never enrolled",
    "revoked_probe": "from a probe that has left",
    "foreign_probe": "in another probe's name",
    "unknown_role": "from a probe with a role that is not known",
    "wrong_id": "with an id that does not fit its content",
    "clock_ahead": "from the future: the probe's clock is wrong",
    "too_old": "older than any spool keeps",
    "wrong_round": "of a round that does not fit its time",
    "too_many_targets": "of more targets than one probe may name",
    "too_many_networks": "from more networks than one probe can be in",
    "too_many_spools": "from more spools than one probe can have",
    "unknown_target": "of a target that is not in the monitor's catalogue",
    "unknown_country": "from a country that does not exist",
    "over_quota": "of a probe that sent more than a day's quota",
    "reserved_target": "of a target whose name is reserved",
    "conflicting_id": "with a known id and other content",
}
"""Each reason for quarantine, after "Measurements ..."."""
FOLLOWER_LATE_MS = 120_000
"""A follower that has not saved its place for so long has ended: it does so every 20 s."""
LATE_MS = 300_000
"""A detector lags when it is this far behind (divided by the pace, at least three rounds)."""


class Lag(msgspec.Struct, frozen=True):
    """Percentiles of a lag, in seconds."""

    half: float
    most: float
    """The 95th percentile."""
    n: int


class TableHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The table of countries and networks that this process compares enrolments with."""

    version: str
    origin: Origin
    old: bool
    """Whether it is known to be more than a year old."""


class FollowedHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A public source that is followed."""

    source: str
    running: bool
    """Whether a follower has saved its place lately."""
    through: int | None
    """Everything published under hours before this one is stored, Unix milliseconds."""
    hours_left: int
    """Of those that are listed now."""
    waits: str
    """What it waits for."""
    updated: int
    runs: int
    failures: dict[str, int]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the page, as JSON."""

    ready: bool
    unready: tuple[str, ...]
    last_received: int | None
    """Unix milliseconds."""
    stalled: bool
    looked_back_ms: int
    received: int
    """Measurements received in that time; the newest few thousand when there were more."""
    per_minute: float
    ingest_lag: Lag | None
    """From the beginning of a measurement to its commit."""
    detection_lag: Lag | None
    """From the end of a round to the commit of its conclusions, where this process detects."""
    detecting: bool
    """Whether a detector holds its lease; with several, whether each does."""
    without_lease_ms: int | None
    """For how long no detector has held it; None when none ever did. With several, of the part of
    the services that is worst off."""
    detector: DetectorHealth
    """The same, and which part that is."""
    asked_lately: int | None
    """Targets that networks were asked to measure again in the last hour (before division by the
    pace); None where this process asks nobody."""
    waiting: int
    """Measurements that the detector has not looked at yet."""
    behind_ms: int | None
    """How far the last round that it judged lies before the newest one that is stored, for the
    service that is furthest behind; None when nothing of what arrived lately was ever judged."""
    lagging: bool
    ingested: int
    duplicate: int
    quarantined: dict[str, int]
    vantages: dict[str, dict[str, int]]
    """By role, then by status."""
    followed: tuple[FollowedHealth, ...]
    networks: TableHealth | None
    """None where there is none: then probes are believed where they are."""
    store_bytes: int
    store_kind: str
    versions: dict[str, str]
    probe_versions: dict[str, int]


async def page(request: web.Request) -> web.Response:
    """Render the status."""
    site = site_of(request)
    if site.as_of is not None:
        raise BadParameterError("as_of: of the system's health nothing is kept")
    found = await health_of(site)
    language.use(language.SOURCE)  # a page for operators, as the runbooks: all of it, or words mix
    values = {
        "title": "Status",
        "headline": headline(found, site.clock()),
        "health": found,
        "reasons": [(reason, QUARANTINE[reason], n) for reason, n in found.quarantined.items()],
        "size": size(found.store_bytes),
        "seconds": seconds,
        "of_this_moment": "",  # nothing is kept of it
    }
    return await render(request, "status.html", values)


async def as_json(request: web.Request) -> web.Response:
    """The same as data."""
    return json_answer(await health_of(site_of(request)), headers=PUBLIC)


async def health_of(site: Site) -> Health:
    """Read the store and this process."""
    now = site.clock()
    interval = site.interval_ms
    span = max(site.policy.ms(LOOK_BACK_SECONDS), 3 * interval)
    probes = fleet(site, await site.present.get())
    async with site.database.reading() as connection:
        arrivals = await recent_arrivals(connection, now - span)
        last = await last_received(connection)
        tallies = await ingest_counters(connection)
        folded = await folded_rounds(connection)
        waiting = await count_unread(connection)
        detector = detector_health(await detector_leases(connection), now)
        stored = await store_bytes(connection)
        sources = await progress_of(connection)
        kind = connection.dialect.name
    if len(arrivals) == MAX_ARRIVALS:
        span = max(1, now - arrivals[-1].received)
    unready = tuple(site.unready())
    behind = behind_ms(arrivals, folded)
    roles: dict[str, Counter[str]] = {}
    for probe, status in probes:
        roles.setdefault(probe.role, Counter())[status] += 1
    enrolled = {probe.id for probe, _ in active(probes)}
    software = Counter(
        vantage_health((), message).software or "unknown"
        for id, message in await site.database.registry.statuses()
        if id in enrolled
    )
    counted = {(name, reason): n for name, reason, n in tallies}
    late = max(site.policy.ms(LATE_MS // 1000), 3 * interval)
    return Health(
        ready=not unready,
        unready=unready,
        last_received=last,
        stalled=last is not None and now - last > max(STALLED_MS // site.policy.pace, 3 * interval),
        looked_back_ms=span,
        received=len(arrivals),
        per_minute=round(60_000 * len(arrivals) / span, 1),
        ingest_lag=lag_of([(each.received - each.started) / 1000 for each in arrivals]),
        detection_lag=lag_in(site.lags.detection),
        detecting=detector.course is DetectorCourse.RUNS,
        without_lease_ms=detector.without_ms,
        detector=detector,
        asked_lately=None if site.retests_requested is None else site.retests_requested()[1],
        waiting=waiting,
        behind_ms=behind,
        lagging=behind is not None and behind > late,
        ingested=counted.get(("ingested", ""), 0),
        duplicate=counted.get(("duplicate", ""), 0),
        quarantined={
            reason: n
            for reason in QuarantineReason
            if (n := counted.get(("quarantined", reason), 0))
        },
        vantages={role: roles[role] for role in sorted(roles)},
        followed=tuple(followed_health(progress, counted, now) for progress in sources),
        networks=table_health(site.geo, now),
        store_bytes=stored,
        store_kind=kind,
        versions={
            "monitor": monitor.__version__,
            "python": platform.python_version(),
            "rules": RULES_VERSION,
            "catalogue": site.catalogue.version,
            "policy": f"{site.policy.name}, pace {site.policy.pace}",
        },
        probe_versions=dict(sorted(software.items())),
    )


def behind_ms(arrivals: Iterable[Arrival], folded: Iterable[tuple[str, int]]) -> int | None:
    """How far the round that was judged last lies before the newest one that arrived, for the
    service that is furthest behind; None when nothing of what arrived was ever judged."""
    newest: dict[str, int] = {}
    for arrival in arrivals:
        newest[arrival.service] = max(arrival.round, newest.get(arrival.service, 0))
    behind = (newest[service] - round for service, round in folded if service in newest)
    return max(behind, default=None)


def table_health(table: GeoTable | None, now: int) -> TableHealth | None:
    """The table as the page shows it."""
    if table is None:
        return None
    today = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date()
    return TableHealth(version=table.version, origin=table.origin, old=is_old(table.origin, today))


def followed_health(
    progress: SourceProgress, counted: Mapping[tuple[str, str], int], now: int
) -> FollowedHealth:
    """A source as the page shows it."""
    prefix = f"{progress.source} "
    return FollowedHealth(
        source=progress.source,
        running=now - progress.updated < FOLLOWER_LATE_MS,
        through=progress.through or None,
        hours_left=max(0, progress.hours_all - progress.hours_done),
        waits=progress.waits,
        updated=progress.updated,
        runs=counted.get((RUNS, progress.source), 0),
        failures={
            reason.removeprefix(prefix): n
            for (name, reason), n in sorted(counted.items())
            if name == FAILURES and reason.startswith(prefix)
        },
    )


def lag_of(lags: Sequence[float]) -> Lag | None:
    """Median and 95th percentile; None of an empty list."""
    if not lags:
        return None
    ordered = sorted(max(0.0, lag) for lag in lags)
    return Lag(
        ordered[(len(ordered) - 1) // 2], ordered[(len(ordered) - 1) * 95 // 100], len(ordered)
    )


def lag_in(histogram: Histogram) -> Lag | None:
    """The same from a histogram, as upper bounds of buckets."""
    buckets = histogram.buckets()
    total = buckets[-1][1]
    if not total:
        return None

    def bound(share: float) -> float:
        return next(float(upper) for upper, n in buckets if n >= share * total)

    return Lag(bound(0.5), bound(0.95), int(total))


def headline(found: Health, now: int) -> str:
    """The state of the system in one sentence; problems come first."""
    if not found.ready:
        return f"Not ready: {'; '.join(found.unready)}."
    if found.last_received is None:
        return "Ready; no measurements yet."
    if found.stalled:
        return f"Nothing has arrived for {words.duration_text(now - found.last_received)}."
    if not found.detecting:
        return _without_detector(found.detector, found.waiting)
    if found.lagging:
        return (
            "Measurements arrive and the detector runs, but conclusions lag "
            f"{words.duration_text(found.behind_ms or 0)}. Look at the processor and the disk of "
            "its machine: it catches up by itself when they have room."
        )
    if found.networks is not None and found.networks.old:
        return (
            "Healthy: measurements arrive and are judged in time. "
            "The table of networks is more than a year old."
        )
    return "Healthy: measurements arrive and are judged in time."


def _without_detector(detector: DetectorHealth, waiting: int) -> str:
    length, option = words.duration_text(detector.without_ms or 0), detector.option
    part = f" of part {detector.part.index} of {detector.part.count}" if option else ""
    judged = "of its services nothing is judged" if option else "nothing is judged"
    match detector.course:
        case DetectorCourse.NEVER:
            return (
                f"Measurements arrive, but no detector{part} has ever run: {judged}. "
                f"Start one: reachwatch detect{option}."
            )
        case DetectorCourse.ENDED if not waiting:
            return (
                f"No detector{part} has run for {length}. All that has arrived is judged; what "
                f"arrives next is not. Look why it ended, and start it: reachwatch detect{option}."
            )
        case DetectorCourse.ENDED:
            return (
                f"Measurements arrive, but no detector{part} has run for {length}: {judged}. "
                f"Look why it ended, and start it: reachwatch detect{option}."
            )
    return (
        f"Measurements arrive; the detector{part} is {length} late to renew its lease. It is busy, "
        "or has just ended: if this lasts for a minute, look at its log. A standby takes over by "
        "itself."
    )


def seconds(value: float) -> str:
    """`0.5 s`, `4 min`; `more than a day` past the last bucket."""
    if value == float("inf"):
        return "more than a day"
    return f"{value:.1f} s" if value < 10 else words.duration_text(int(value * 1000))


def size(n: int) -> str:
    """`3.4 MB`."""
    value = float(n)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
