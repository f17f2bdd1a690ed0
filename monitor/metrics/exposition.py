# SPDX-License-Identifier: Apache-2.0
"""The text that Prometheus scrapes, computed from the store at scrape time.

Counters are in the store, so that they survive restarts and are the same on every web server. The
two histograms of lags and the number of retests belong to the process.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

import monitor
from monitor.detection.events import confidence
from monitor.detection.events.present import PresentState
from monitor.detection.model import Event, State, Tier
from monitor.detection.network_condition import Condition
from monitor.metrics import families
from monitor.metrics.lags import Backlog, Histogram, Lags
from monitor.store.followed import FAILURES, RUNS
from probes.wire.measurement import function_of, service_of

Sample = tuple[tuple[str, ...], float]
"""The values of a metric's labels, and its own."""
TIER_CONFIDENCE = {Tier.CONFIRMED: 0.5, Tier.LIKELY: 0.5, Tier.UNCONFIRMED: 0.1}
"""Used where there is no calibrated probability (imports, which are likely at most); too low to
page anybody."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The input of one scrape."""

    conclusions: int = 0
    """How often something was concluded until the moment of the scrape."""
    open_events: Sequence[Event] = ()
    transitions: Sequence[tuple[str, str, str, int]] = ()
    """(service, country, transition, count)."""
    services: Sequence[str] = ()
    names: Mapping[str, str] = {}
    """Of services, by id."""
    country_names: Mapping[str, str] = {}
    """By code, as in a sentence."""
    countries: Sequence[str] = ()
    """With `services`: counters that exist from 0."""
    present: Sequence[PresentState] = ()
    vantages: Sequence[tuple[str, str, str]] = ()
    """(country, role, status), one a probe."""
    ways: Mapping[str, int] = {}
    """Number of probes that are heard, by the kind of way to the monitor."""
    owners: Mapping[str, int] = {}
    """Number of owners of the vantages, by country."""
    enrolled: int = 0
    """Probes that have ever enrolled."""
    enrolments_refused: int = 0
    """By this process."""
    page_processes: tuple[int, int] | None = None
    """Those that make pages for this one: ready ones, and how many have ended; None without any."""
    conditions: Mapping[tuple[str, int], Condition] = {}
    """Of networks, by country and AS number."""
    ended: Sequence[tuple[Event, str]] = ()
    """Events whose end was published recently, with the transition: closed or retracted."""
    tallies: Sequence[tuple[str, str, int]] = ()
    reasons: Sequence[str] = ()
    """Quarantine reasons whose counters exist from 0."""
    last_received: int | None = None
    retests: int | None = None
    """Targets of requested retests; None in a process without detector."""
    backlog: Backlog | None = None
    """How far the detector is behind; None in a process without detector."""
    followed: Mapping[str, float] = {}
    """Seconds that each followed source is behind."""
    webhooks: Sequence[tuple[str, float]] = ()
    """(host, seconds) as `monitor.detector.webhooks.WebhookSender.waiting`."""
    last_concluded: int | None = None
    """The newest judged round."""
    newest_round: int | None = None
    """The newest round of the measurements that arrived last."""


def expose(snapshot: Snapshot, lags: Lags, accept: str) -> tuple[bytes, str]:
    """Return the body and its content type, text or OpenMetrics as `accept` asks."""
    registry = CollectorRegistry()
    registry.register(FamilyCollector(list(build_families(snapshot, lags))))
    try:
        encode, content_type = choose_encoder(accept)
    except (ValueError, TypeError, IndexError):
        # prometheus-client raises for a malformed version in the header.
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


class FamilyCollector:
    """prometheus-client's Collector over families that exist already."""

    def __init__(self, made: list[Metric]) -> None:
        self._made = made

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._made


def build_families(snapshot: Snapshot, lags: Lags) -> Iterable[Metric]:
    """Yield one family for each metric of `families`."""
    yield from _names(snapshot)
    yield from _single_events(snapshot)
    yield _events(snapshot)
    yield from _targets(snapshot)
    yield from _fleet(snapshot)
    yield from _page_processes(snapshot.page_processes)
    yield _conditions(snapshot)
    yield from _intake(snapshot)
    yield histogram(families.INGEST_LAG, lags.ingest)
    yield histogram(families.DETECTION_LAG, lags.detection)
    yield family(families.RETESTS, _known(snapshot.retests))
    yield from backlog_families(snapshot.backlog)
    yield from _followed(snapshot)
    yield webhook_family(snapshot.webhooks)
    yield family(families.LAST_RECEIVED, _timestamp(snapshot.last_received))
    yield family(families.NEWEST_ROUND, _timestamp(snapshot.newest_round))
    yield family(families.LAST_CONCLUDED, _timestamp(snapshot.last_concluded))
    yield family(families.BUILD, [((monitor.__version__, platform.python_version()), 1)])


def _names(snapshot: Snapshot) -> Iterable[Metric]:
    """What services and countries are called, to be joined with other metrics."""
    for metric, names in (
        (families.SERVICE_INFO, snapshot.names),
        (families.COUNTRY_INFO, snapshot.country_names),
    ):
        yield family(metric, ((pair, 1) for pair in sorted(names.items())))


def _events(snapshot: Snapshot) -> Metric:
    """How many events there have been, by service, country and transition, from 0."""
    counted = {(a, b, c): n for a, b, c, n in snapshot.transitions}
    places = {(service, country) for service in snapshot.services for country in snapshot.countries}
    places |= {(service, country) for service, country, _ in counted}
    return family(
        families.EVENTS,
        (
            ((service, country, transition), counted.get((service, country, transition), 0))
            for service, country in sorted(places)
            for transition in families.TRANSITIONS
        ),
    )


def _targets(snapshot: Snapshot) -> Iterable[Metric]:
    """The present states of targets: each that is not well, and how many there are of each."""
    yield family(
        families.TARGET_STATE,
        (
            ((service_of(row.target), row.target, row.country, str(row.asn), row.state), 1)
            for row in snapshot.present
            if row.state not in (State.OK, State.INSUFFICIENT)
        ),
    )
    totals = Counter(row.state for row in snapshot.present)
    yield family(families.TARGETS, (((state.value,), totals[state]) for state in State))
    by_service = Counter((service_of(row.target), row.state) for row in snapshot.present)
    services = {*snapshot.services, *(service for service, _ in by_service)}
    yield family(
        families.SERVICE_TARGETS,
        (
            ((service, state.value), by_service[service, state])
            for service in sorted(services)
            for state in State
        ),
    )


def _fleet(snapshot: Snapshot) -> Iterable[Metric]:
    """Probes, their owners, and how they came."""
    yield family(families.VANTAGES, sorted(Counter(snapshot.vantages).items()))
    for metric, counts in (
        (families.VANTAGES_BY_WAY, snapshot.ways),
        (families.OWNERS, snapshot.owners),
    ):
        yield family(metric, (((label,), n) for label, n in sorted(counts.items())))
    yield family(families.ENROLLED, [((), snapshot.enrolled)])
    yield family(families.ENROLMENTS_REFUSED, [((), snapshot.enrolments_refused)])


def _page_processes(counts: tuple[int, int] | None) -> Iterable[Metric]:
    ready, ended = counts or (None, None)
    yield family(families.PAGE_PROCESSES, _known(ready))
    yield family(families.PAGE_PROCESSES_ENDED, _known(ended))


def _conditions(snapshot: Snapshot) -> Metric:
    return family(
        families.NETWORK_CONDITION,
        (
            ((country, str(asn), condition.value), 1)
            for (country, asn), condition in sorted(snapshot.conditions.items())
        ),
    )


def _intake(snapshot: Snapshot) -> Iterable[Metric]:
    """What became of what arrived."""
    tallies = {(name, reason): n for name, reason, n in snapshot.tallies}
    for metric, name in (
        (families.INGESTED, "ingested"),
        (families.DUPLICATE, "duplicate"),
        (families.EXPIRED, "expired"),
    ):
        yield family(metric, [((), tallies.get((name, ""), 0))])
    reasons = {reason for name, reason in tallies if name == "quarantined"} | set(snapshot.reasons)
    yield family(
        families.QUARANTINED,
        (((reason,), tallies.get(("quarantined", reason), 0)) for reason in sorted(reasons)),
    )


def _followed(snapshot: Snapshot) -> Iterable[Metric]:
    """Public sources; those that were never followed have no sample."""
    tallies = {(name, reason): n for name, reason, n in snapshot.tallies}
    yield family(
        families.FOLLOW_LAG, (((source,), lag) for source, lag in snapshot.followed.items())
    )
    yield family(
        families.FOLLOW_RUNS,
        (((source,), tallies.get((RUNS, source), 0)) for source in snapshot.followed),
    )
    failures = (
        (tuple(reason.split(" ", 1)), n)
        for (name, reason), n in tallies.items()
        if name == FAILURES
    )
    yield family(families.FOLLOW_FAILURES, sorted(failures))


def _single_events(snapshot: Snapshot) -> Iterable[Metric]:
    """Metrics of single events: open ones, and those that ended recently."""
    shown = [event for event in snapshot.open_events if event.stands]
    ended = (event for event, _ in snapshot.ended)
    both = {event.id: event for event in (*ended, *shown)}.values()
    for metric, events, samples in (
        (families.EVENT_CONFIDENCE, shown, _confidence),
        (families.EVENT_ONSET, both, _onset),
        (families.EVENT_VANTAGES, shown, _agreement),
        (families.EVENT_NETWORKS, shown, _networks),
        (families.EVENT_WITNESSES, both, _witnesses),
        (families.EVENT_FUNCTIONS, both, _blocked_functions),
    ):
        yield family(metric, (sample for event in events for sample in samples(event)))
    yield family(
        families.EVENT_ENDED,
        (
            (
                (event.service, event.country, event.id, transition, event.tier),
                (event.updated if event.closed is None else event.closed) / 1000,
            )
            for event, transition in snapshot.ended
        ),
    )


def _confidence(event: Event) -> Iterable[Sample]:
    """The calibrated probability, else the value for the tier, in each of its networks."""
    sure = confidence.probability(event)
    value = TIER_CONFIDENCE[event.tier] if sure is None else sure / 1000
    for asn in event.asns:
        labels = (event.service, event.country, str(asn), event.technique, event.tier, event.id)
        yield labels, value


def _onset(event: Event) -> Iterable[Sample]:
    yield (event.id,), event.onset / 1000


def _agreement(event: Event) -> Iterable[Sample]:
    yield (event.id, "agreeing"), event.agreeing
    yield (event.id, "total"), event.total


def _networks(event: Event) -> Iterable[Sample]:
    blocked = len(event.asns)
    yield (event.id, "blocked"), blocked
    yield (event.id, "measured"), max(blocked, event.networks_measured)


def _witnesses(event: Event) -> Iterable[Sample]:
    for place, (source, count) in enumerate(event.sources.items()):
        yield (event.id, source, "too" if place else "rests_on"), count


def _blocked_functions(event: Event) -> Iterable[Sample]:
    for target in event.targets:
        yield (event.id, function_of(target)), 1


def backlog_families(backlog: Backlog | None) -> Iterable[Metric]:
    """How far a detector is behind; without a detector the families have no sample."""
    for metric, value in (
        (families.BACKLOG_MEASUREMENTS, backlog and backlog.measurements),
        (families.BACKLOG_SECONDS, backlog and backlog.seconds),
        (families.DAMAGED_BATCHES, backlog and backlog.damaged_batches),
    ):
        yield family(metric, [] if backlog is None else [((), float(value or 0))])


def webhook_family(waiting: Iterable[tuple[str, float]]) -> Metric:
    """How long webhooks wait, by host."""
    return family(families.WEBHOOK_WAITING, [((host,), seconds) for host, seconds in waiting])


def _known(value: float | None) -> list[Sample]:
    """The one sample of a metric without labels; none where the value is not known."""
    return [] if value is None else [((), value)]


def _timestamp(at: int | None) -> list[Sample]:
    return _known(None if at is None else at / 1000)


def family(metric: families.MetricFamily, rows: Iterable[Sample]) -> Metric:
    """The samples of a counter or gauge."""
    made: Any
    if metric.kind == "counter":
        made = CounterMetricFamily(
            metric.name.removesuffix("_total"), metric.help, labels=metric.labels
        )
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        made.add_metric([str(label) for label in labels], value)
    return made  # type: ignore[no-any-return]


def histogram(metric: families.MetricFamily, observed: Histogram) -> Metric:
    """The samples of a histogram."""
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    made.add_metric([], buckets=observed.buckets(), sum_value=observed.sum)
    return made
