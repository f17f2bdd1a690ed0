"""What Prometheus scrapes, read back by Prometheus' own parser."""

from __future__ import annotations

import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from monitor.detection.events.confidence import probability
from monitor.detection.events.present import PresentState
from monitor.detection.model import ClosedGate, Event, EventState, OtherWitnesses, State, Tier
from monitor.detection.network_condition import Condition
from monitor.metrics import families
from monitor.metrics.exposition import Snapshot, expose
from monitor.metrics.lags import Lags
from tests.monitor.metrics.defined import SERVED


def event(**changes: object) -> Event:
    values: dict[str, object] = {
        "id": "0123456789abcdef",
        "service": "wechat",
        "country": "RU",
        "targets": ("wechat/messaging",),
        "asns": (64501, 64502),
        "technique": "tls.reset.sni",
        "extent": "full",
        "state": EventState.OPEN,
        "tier": Tier.CONFIRMED,
        "onset": 1,
        "onset_earliest": 1,
        "onset_latest": 2,
        "opened": 2,
        "updated": 3,
        "agreeing": 3,
        "total": 3,
        "control": "ok",
    }
    return Event(**(values | changes))  # type: ignore[arg-type]


SNAPSHOT = Snapshot(
    open_events=[
        event(),
        event(id="f" * 16, tier=Tier.LIKELY, inhibited_by=ClosedGate.SERVICE_DOWN),
    ],
    transitions=[("wechat", "RU", "opened", 2)],
    services=["wechat", "signal"],
    countries=["RU", "FR"],
    present=[
        PresentState(
            target="wechat/messaging",
            country="RU",
            asn=64501,
            state=State.BLOCKED,
            technique="tls.reset.sni",
            rule="tls.x",
            vantages=3,
            agreeing=3,
            round=1,
        )
    ],
    vantages=[
        ("RU", "vantage", "online"),
        ("RU", "vantage", "online"),
        ("NL", "control", "silent"),
    ],
    tallies=[
        ("ingested", "", 7),
        ("quarantined", "malformed", 2),
        ("follow_runs", "ooni", 40),
        ("follow_failures", "ooni throttled", 3),
    ],
    followed={"ooni": 5400.0},
    reasons=["malformed", "foreign_probe"],
    retests=3,
    last_received=5_000,
    last_concluded=4_000,
    newest_round=4_500,
    ways={"mqtts": 2, "proxy+https": 1},
    owners={"RU": 2},
    enrolled=12,
    enrolments_refused=4,
    conditions={("RU", 64501): Condition.UNHEARD, ("FR", 64510): Condition.OK},
    ended=[
        (event(id="c" * 16, state=EventState.CLOSED, onset=2_000, closed=9_000), "closed"),
        (event(id="d" * 16, state=EventState.RETRACTED, updated=8_000), "retracted"),
    ],
)


def samples(
    accept: str = "", snapshot: Snapshot = SNAPSHOT
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, _ = expose(snapshot, Lags(), accept)
    read = openmetrics if "openmetrics" in accept else parse
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(body.decode())
        for sample in family.samples
    }


def test_followed_sources_are_shown() -> None:
    rows, ooni = samples(), ("source", "ooni")
    assert rows["reachwatch_follow_lag_seconds", (ooni,)] == 5400
    assert rows["reachwatch_follow_runs_total", (ooni,)] == 40
    assert rows["reachwatch_follow_failures_total", (("reason", "throttled"), ooni)] == 3
    assert not any(name.startswith("reachwatch_follow") for name, _ in samples(snapshot=Snapshot()))


def test_enrolments_are_counted() -> None:
    rows = samples()
    assert rows["reachwatch_probes_enrolled_total", ()] == 12
    assert rows["reachwatch_enrolments_refused_total", ()] == 4


def test_an_event_without_probability_pages_nobody() -> None:
    imported = event(source="ooni", tier=Tier.LIKELY)
    rows = samples(snapshot=Snapshot(open_events=[imported]))
    values = {v for k, v in rows.items() if k[0] == families.EVENT_CONFIDENCE.name}
    assert values == {0.5}


def test_who_shows_an_event_is_counted() -> None:
    beside = OtherWitnesses("ooni", "e" * 16, Tier.LIKELY, 14, 2)
    both = event(beside=(beside,))
    rows = samples(snapshot=Snapshot(open_events=[both]))
    counts = {
        (dict(labels)["source"], dict(labels)["role"]): value
        for (name, labels), value in rows.items()
        if name == families.EVENT_WITNESSES.name
    }
    assert counts == {("own", "rests_on"): both.agreeing, ("ooni", "too"): 14}


def test_open_events_one_series_a_network_and_none_for_inhibited_ones() -> None:
    rows = {k: v for k, v in samples().items() if k[0] == families.EVENT_CONFIDENCE.name}
    assert sorted(dict(labels)["asn"] for _, labels in rows) == ["64501", "64502"]
    assert set(rows.values()) == {(probability(event()) or 0) / 1000}
    assert {dict(labels)["event_id"] for _, labels in rows} == {"0123456789abcdef"}


def test_a_confirmed_event_stays_when_a_gate_closes_later() -> None:
    """Otherwise its alert would end, though the block goes on."""
    marked = event(inhibited_by=ClosedGate.SERVICE_DOWN)
    rows = samples(snapshot=Snapshot(open_events=[marked]))
    names = {name for name, labels in rows if ("event_id", marked.id) in labels}
    assert {families.EVENT_CONFIDENCE.name, families.EVENT_ONSET.name} <= names


def by_event(name: str) -> dict[str, float]:
    return {dict(labels)["event_id"]: v for (n, labels), v in samples().items() if n == name}


def test_the_facts_of_a_message_come_from_the_event() -> None:
    """Of open events and of those that ended lately, never of one that is held back."""
    onsets = by_event(families.EVENT_ONSET.name)
    assert onsets == {"0123456789abcdef": 0.001, "c" * 16: 2, "d" * 16: 0.001}
    kinds = {
        dict(labels)["kind"]: value
        for (name, labels), value in samples().items()
        if name == families.EVENT_VANTAGES.name
    }
    assert kinds == {"agreeing": 3, "total": 3}


def test_ends_are_shown_with_their_transition() -> None:
    rows = {
        (dict(labels)["event_id"][0], dict(labels)["transition"], dict(labels)["tier"]): value
        for (name, labels), value in samples().items()
        if name == families.EVENT_ENDED.name
    }
    assert rows == {("c", "closed", "confirmed"): 9, ("d", "retracted", "confirmed"): 8}


def test_targets_of_a_service_are_counted_from_zero() -> None:
    rows = {k: v for k, v in samples().items() if k[0] == families.SERVICE_TARGETS.name}
    assert len(rows) == 2 * len(State)
    assert sum(rows.values()) == 1
    assert rows[families.SERVICE_TARGETS.name, (("service", "wechat"), ("state", "blocked"))] == 1


def test_event_counters_are_present_from_zero() -> None:
    rows = {k: v for k, v in samples().items() if k[0] == families.EVENTS.name}
    assert len(rows) == 2 * 2 * len(families.TRANSITIONS)
    assert sum(rows.values()) == 2


def test_totals_and_quarantine_reasons() -> None:
    rows = samples()
    assert rows["reachwatch_measurements_ingested_total", ()] == 7
    assert rows["reachwatch_measurements_quarantined_total", (("reason", "foreign_probe"),)] == 0
    assert rows["reachwatch_measurements_quarantined_total", (("reason", "malformed"),)] == 2
    assert (
        rows["reachwatch_vantages", (("country", "RU"), ("role", "vantage"), ("status", "online"))]
        == 2
    )
    assert rows["reachwatch_targets", (("state", "blocked"),)] == 1
    assert rows[families.VANTAGES_BY_WAY.name, (("way", "proxy+https"),)] == 1
    assert rows[families.OWNERS.name, (("country", "RU"),)] == 2
    assert rows[families.LAST_RECEIVED.name, ()] == 5
    assert rows[families.LAST_CONCLUDED.name, ()] == 4
    assert rows[families.NEWEST_ROUND.name, ()] == 4.5


def test_each_network_has_its_condition() -> None:
    rows = {labels: n for (name, labels), n in samples().items() if "condition" in name}
    assert rows == {
        (("asn", "64501"), ("condition", "unheard"), ("country", "RU")): 1,
        (("asn", "64510"), ("condition", "ok"), ("country", "FR")): 1,
    }


def test_retests_are_counted_where_they_are_asked_for_alone() -> None:
    name = ("reachwatch_retests_asked_total", ())
    assert samples()[name] == 3
    assert name not in samples(snapshot=Snapshot())


def test_openmetrics_has_the_same_values() -> None:
    plain, open_ = samples(), samples("application/openmetrics-text; version=1.0.0")
    assert set(plain) <= set(open_) | {k for k in plain if k[0].endswith("_created")}


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_complain_of() -> None:
    body, _ = expose(SNAPSHOT, Lags(), "")
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()


def test_no_label_holds_a_probe_id() -> None:
    for metric in SERVED:
        assert not {"probe", "vantage", "address", "evidence"} & set(metric.labels)


@pytest.mark.parametrize(
    "accept",
    ["text/plain;version=x", 'application/openmetrics-text;version="9"', ";;=,", "a/b;version"],
)
def test_any_accept_header_is_answered(accept: str) -> None:
    body, content_type = expose(SNAPSHOT, Lags(), accept)
    assert body.startswith(b"# HELP")
    assert "text" in content_type
