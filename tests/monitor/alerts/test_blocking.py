"""What is said of services: fed to Prometheus' own rule tester."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts.blocking import alerts
from monitor.alerts.routing import PAGE_GROUP_BY
from monitor.detection.policy import AlertingPolicy, Policy
from tests.alerting.promtool import (
    counter,
    ended,
    event,
    firing,
    minutes,
    steps,
    unit,
    up,
    vantages,
)

pytestmark = pytest.mark.needs("promtool")

ID = "00000000000000aa"
PLACE = {"service": "wechat", "country": "RU"}
EVENT = {**PLACE, "event_id": ID}
WHEN_RESOLVED = (
    "No longer firing. This does not mean that the service is reachable again: ServiceUnblocked "
    "reports that in a separate message."
)


def test_a_confirmed_event_pages_at_once_with_every_fact(tmp_path: Path) -> None:
    """And says the same when the monitor has been down for a while."""
    series = up(0, 10) | event("confirmed", 0, 10, asns=(64502, 64501))
    for name in series:
        if name.startswith("reachwatch_block_event_confidence"):
            series[name] = minutes(0.973, 0, 10)
    networks = f'reachwatch_block_event_networks{{event_id="{ID}",kind="%s"}}'
    series |= {networks % "blocked": minutes(2, 0, 10), networks % "measured": minutes(3, 0, 10)}
    for function in ("web", "api"):
        name = f'reachwatch_block_event_functions{{event_id="{ID}",function="{function}"}}'
        series[name] = minutes(1, 0, 10)
    series['reachwatch_service_info{service="wechat",name="WeChat"}'] = minutes(1, 0, 10)
    series['reachwatch_country_info{country="RU",name="Russia"}'] = minutes(1, 0, 10)
    expected = {
        "exp_labels": {"severity": "page", "kind": "block", **EVENT},
        "exp_annotations": {
            "summary": "WeChat (api, web) is blocked in Russia (AS64501, AS64502): tls.reset.sni",
            "description": "Seen by 3 of 4 vantages in AS64501, AS64502 (2 of 3 networks measured) "
            "since 2026-09-21 14:13 UTC. How: tls.reset.sni. Vantages of several owners agree, and "
            "the control reaches the service. Confidence: 97.3%.",
            "first": "Open the event's page, read the evidence against it and two witnesses of "
            "different owners; then inform the people who follow this service or country.",
            "evidence_url": f"https://reach.example/e/{ID}",
            "runbook_url": "https://reach.example/runbooks/ServiceBlockConfirmed.md",
            "networks": "AS64501, AS64502",
            "technique": "tls.reset.sni",
            "since": "2026-09-21 14:13 UTC",
            "vantages": "3 of 4",
            "when_resolved": WHEN_RESOLVED,
        },
    }
    alert = {"alertname": "ServiceBlockConfirmed", "exp_alerts": [expected]}
    unit(
        tmp_path,
        {
            "input_series": [{"series": name, "values": v} for name, v in series.items()],
            "alert_rule_test": [{"eval_time": at, **alert} for at in ("30s", "60m")],
        },
        Policy(),
    )


@pytest.mark.parametrize("tier", ["likely", "unconfirmed"])
def test_nothing_less_than_confirmed_pages(tmp_path: Path, tier: str) -> None:
    likely = [EVENT] if tier == "likely" else []
    firing(
        tmp_path,
        up() | event(tier, 0, asns=(1, 2, 3)),
        {
            9: {"ServiceBlockLikely": []},
            11: {"ServiceBlockLikely": likely, "ServiceBlockConfirmed": []},
            60: {"ServiceBlockLikely": likely, "ServiceBlockConfirmed": []},
        },
    )


def test_a_confirmed_event_that_is_not_sure_enough_is_a_ticket_until_it_is(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0)
    name = next(each for each in series if "confidence" in each)
    # Unsure for 40 minutes, sure for 20, and less sure again at night: one page, which stays.
    series[name] = steps((0, 0.8), (40, 0.95), (60, 0.4))
    ticket, page = {"ServiceBlockLikely": [EVENT]}, {"ServiceBlockConfirmed": [EVENT]}
    none = {"ServiceBlockConfirmed": []}
    firing(
        tmp_path,
        series,
        {9: none, 39: ticket | none, 41: page, 59: page, 70: page, 120: page},
    )


def test_what_was_paged_and_has_ended_is_forgotten(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 30)
    again = event("confirmed", 120, id="00000000000000bb")
    name = next(each for each in again if "confidence" in each)
    again[name] = minutes(0.8, 120)
    expected = {29: [EVENT], 85: [EVENT], 95: [], 150: []}
    firing(
        tmp_path, series | again, {at: {"ServiceBlockConfirmed": e} for at, e in expected.items()}
    )


def test_a_block_that_returns_within_the_hour_joins_the_page_that_still_fires(
    tmp_path: Path,
) -> None:
    second = "00000000000000bb"
    series = up() | event("confirmed", 0, 30) | event("confirmed", 70, id=second)
    page = "ServiceBlockConfirmed"
    both = [EVENT, {**EVENT, "event_id": second}]
    firing(tmp_path, series, {60: {page: [EVENT]}, 75: {page: both}, 120: {page: both[1:]}})
    assert "event_id" not in PAGE_GROUP_BY, "both are in one group of Alertmanager"


def test_tier_technique_and_networks_change_and_it_is_the_same_alert(tmp_path: Path) -> None:
    series = up() | event("likely", 0, 20) | event("confirmed", 20, 30, technique="tcp.timeout")
    series |= event("confirmed", 30, asns=(64501, 64502))
    still = {"ServiceBlockConfirmed": [EVENT]}
    firing(tmp_path, series, {19: {"ServiceBlockConfirmed": []}, 21: still, 31: still, 90: still})


def test_the_same_event_on_two_web_servers_is_one_alert(tmp_path: Path) -> None:
    one = event("confirmed", 0)
    two = {name.replace("}", ',instance="b"}'): values for name, values in one.items()}
    firing(tmp_path, up() | one | two, {5: {"ServiceBlockConfirmed": [EVENT]}})


def test_a_gate_that_comes_and_goes_resolves_nothing(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 30)
    name = next(iter(series.keys() - up().keys() - event("likely", 0).keys()))
    series[name] = "1x60 stale _x18 1x700"
    firing(tmp_path, series, {at: {"ServiceBlockConfirmed": [EVENT]} for at in (29, 33, 39, 60)})


def test_a_monitor_that_is_dead_for_an_hour_ends_nothing(tmp_path: Path) -> None:
    alive = minutes(1, 0, 30) + " _x120 1x700"
    series = dict.fromkeys((*up(), *event("confirmed", 0)), alive)
    series |= counter("closed", (0, 3), (30, 3))
    dead = "3x60 stale _x119 3x700"
    series = {name: dead if "total{" in name else values for name, values in series.items()}
    quiet = {
        "ServiceBlockConfirmed": [EVENT],
        "ServiceUnblocked": [],
        "BlockRetracted": [],
    }
    firing(tmp_path, series, dict.fromkeys((29, 31, 50, 88, 91, 95, 120), quiet))
    # And gone when the monitor is back and shows it no more.
    series = up() | event("confirmed", 0, 30)
    series["reachwatch_build_info" + next(iter(up()))[len("reachwatch_build_info") :]] = alive
    firing(
        tmp_path,
        series,
        {89: {"ServiceBlockConfirmed": [EVENT]}, 155: {"ServiceBlockConfirmed": []}},
    )


def test_closing_is_reported_with_the_event(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 60) | counter("closed", (0, 0), (60, 1))
    series |= ended("closed", 60, 90)
    series[f'reachwatch_block_event_onset_timestamp_seconds{{event_id="{ID}"}}'] = minutes(
        1_790_000_000, 0, 90
    )
    firing(
        tmp_path,
        series,
        {
            59: {"ServiceUnblocked": []},
            61: {"ServiceUnblocked": [EVENT], "BlockRetracted": []},
            80: {"ServiceUnblocked": [EVENT], "ServiceBlockConfirmed": [EVENT]},
            91: {"ServiceUnblocked": []},
            125: {"ServiceBlockConfirmed": []},
            200: {"ServiceUnblocked": []},
        },
    )


def test_the_counter_alone_tells_a_closing(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 60) | counter("closed", (0, 0), (60, 1))
    expected = {59: {"ServiceUnblocked": []}, 62: {"ServiceUnblocked": [PLACE]}}
    firing(tmp_path, series, expected | {90: {"ServiceUnblocked": []}})


def test_a_closing_without_scrapes_is_reported_later(tmp_path: Path) -> None:
    series = dict.fromkeys(up(), "1x60 stale _x119 1x700")
    series |= event("confirmed", 0, 30)
    series |= dict.fromkeys(counter("closed", (0, 0)), "4x60 stale _x119 5x700")
    firing(
        tmp_path,
        series,
        {
            **{at: {"ServiceUnblocked": []} for at in (31, 60, 89)},
            92: {"ServiceUnblocked": [PLACE]},
            120: {"ServiceUnblocked": []},
        },
    )


@pytest.mark.parametrize(
    "values",
    [
        pytest.param("7x600", id="first scrape of counters that are not zero"),
        pytest.param("7x60 stale 7x600", id="a restart"),
        pytest.param("7x60 stale _x200 7x600", id="a long outage"),
        pytest.param("7x60 3x600", id="an older copy of the store"),
        pytest.param("0x600", id="nothing ever closed"),
    ],
)
def test_no_closing_without_a_transition(tmp_path: Path, values: str) -> None:
    series = up() | dict.fromkeys((*counter("closed", (0, 0)),), values)
    series |= dict.fromkeys((*counter("retracted", (0, 0)),), values)
    at = (0, 1, 14, 16, 30, 31, 32, 47, 131, 134, 200)
    firing(tmp_path, series, {m: {"ServiceUnblocked": [], "BlockRetracted": []} for m in at})


def test_the_end_of_a_series_reports_nothing(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 20) | counter("closed", (0, 2))
    quiet = {"ServiceUnblocked": [], "BlockRetracted": []}
    firing(tmp_path, series, dict.fromkeys((19, 21, 30, 60), quiet))


def test_what_nobody_was_told_of_is_not_taken_back(tmp_path: Path) -> None:
    series = up() | event("unconfirmed", 0, 30) | counter("closed", (0, 0), (30, 1))
    series |= counter("retracted", (0, 0), (30, 1))
    series |= ended("closed", 30, 60, tier="unconfirmed")
    series |= ended("retracted", 30, 60, tier="unconfirmed", id="b" * 16)
    quiet = {"ServiceUnblocked": [], "BlockRetracted": []}
    firing(tmp_path, series, dict.fromkeys((29, 31, 45, 59, 61, 90), quiet))


def test_nothing_is_called_reachable_while_another_event_is_open(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, id="b" * 16) | counter("closed", (0, 0), (30, 1))
    series |= ended("closed", 30, 60)
    firing(tmp_path, series, {at: {"ServiceUnblocked": []} for at in (31, 45, 60)})


def test_a_withdrawal_is_told(tmp_path: Path) -> None:
    series = up() | event("likely", 0, 30) | counter("retracted", (0, 0), (30, 1))
    series |= ended("retracted", 30, 60, tier="likely")
    firing(
        tmp_path,
        series,
        {29: {"BlockRetracted": []}, 31: {"BlockRetracted": [EVENT], "ServiceUnblocked": []}},
    )


def test_spreading_is_a_ticket_from_three_networks_on(tmp_path: Path) -> None:
    series = up() | event("confirmed", 0, 30, asns=(1, 2)) | event("confirmed", 30, asns=(1, 2, 3))
    firing(tmp_path, series, {29: {"BlockSpreading": []}, 36: {"BlockSpreading": [PLACE]}})
    (alert,) = [each for each in alerts(Policy()) if each.name == "BlockSpreading"]
    assert alert.severity == "ticket"


def states(**networks: tuple[int, ...]) -> dict[str, str]:
    """How a service looks from networks."""
    made = {
        f'reachwatch_service_targets{{service="wechat",state="{state}"}}': f"{len(asns)}x200"
        for state, asns in networks.items()
    }
    for state, asns in networks.items():
        for asn in asns if state != "ok" else ():
            labels = f'service="wechat",target="wechat/m",country="C{asn}",asn="{asn}"'
            made[f'reachwatch_target_state{{{labels},state="{state}"}}'] = "1x200"
    return made


def test_a_service_that_is_down_is_said_to_be_and_pages_nobody(tmp_path: Path) -> None:
    series = up() | states(down=(1, 2, 3), ok=(4,), vantage_offline=(5, 6, 7))
    firing(
        tmp_path,
        series,
        {10: {"ServiceDownGlobally": [{"service": "wechat"}], "ServiceBlockConfirmed": []}},
    )


@pytest.mark.parametrize(
    "seen", [{"down": (1,)}, {"down": (1, 2), "ok": (3, 4)}, {"blocked": (1, 2, 3)}, {"ok": (1,)}]
)
def test_not_down_globally(tmp_path: Path, seen: dict[str, tuple[int, ...]]) -> None:
    firing(tmp_path, up() | states(**seen), {10: {"ServiceDownGlobally": []}})


def test_a_country_falls_dark(tmp_path: Path) -> None:
    series = up() | vantages("RU", "vantage", "online", minutes(5, 0, 30))
    series |= vantages("RU", "vantage", "silent", "_x59 5x700")
    series |= {'reachwatch_vantage_owners{country="RU"}': "3x700"}
    nobody = {"ServiceBlockConfirmed": [], "ServiceBlockLikely": [], "ServiceUnblocked": []}
    firing(
        tmp_path,
        series,
        {
            39: {"CountryDark": []},
            41: {"CountryDark": [{"country": "RU"}], **nobody},
            90: {"CountryDark": [{"country": "RU"}], **nobody},
        },
    )


@pytest.mark.parametrize(
    ("online", "silent", "owners"),
    [
        pytest.param(steps((0, 2), (30, 0)), steps((0, 0), (30, 2)), 2, id="two vantages"),
        pytest.param(steps((0, 5), (30, 0)), steps((0, 0), (30, 5)), 1, id="one owner"),
        pytest.param(steps((0, 5), (30, 4)), steps((0, 0), (30, 1)), 3, id="one vantage offline"),
        pytest.param("0x400", "9x400", 3, id="given up long ago"),
    ],
)
def test_not_dark(tmp_path: Path, online: str, silent: str, owners: int) -> None:
    series = up() | vantages("RU", "vantage", "online", online)
    series |= vantages("RU", "vantage", "silent", silent)
    series |= {'reachwatch_vantage_owners{country="RU"}': f"{owners}x700"}
    firing(tmp_path, series, {at: {"CountryDark": []} for at in (29, 31, 45, 100)})


def test_only_one_alert_about_blocking_wakes_anyone() -> None:
    paging = [a.name for a in alerts(Policy()) if a.severity == "page" and a.kind == "block"]
    assert paging == ["ServiceBlockConfirmed"]


def test_what_explains_a_block_away_holds_as_long_as_the_block(tmp_path: Path) -> None:
    """The monitor dies while a service is down and a country with one owner is silent."""
    alive = minutes(1, 0, 30)
    series = dict.fromkeys(up(), alive) | event("confirmed", 0, 30)
    labels = 'service="wechat",target="wechat/m",country="C%s",asn="%s",state="down"'
    series |= {f"reachwatch_target_state{{{labels % (n, n)}}}": alive for n in (1, 2)}
    series |= {'reachwatch_service_targets{service="wechat",state="down"}': minutes(2, 0, 30)}
    series |= vantages("FR", "vantage", "online", "5x19 0x39 stale")
    series |= {'reachwatch_vantage_owners{country="FR"}': alive}
    both = {"ServiceDownGlobally": [{"service": "wechat"}], "ServiceBlockConfirmed": [EVENT]}
    firing(tmp_path, series, {at: both | {"CountryDark": []} for at in (29, 31, 60, 90)})


def test_a_restart_after_a_closing_tells_it_once(tmp_path: Path) -> None:
    """A lapse would make Alertmanager tell it again."""
    series = event("confirmed", 0, 30) | counter("closed", (0, 0), (30, 1))
    series |= dict.fromkeys(ended("closed", 0), "_x60 1790003600x9 stale _x40 1790003600x9 stale")
    series |= dict.fromkeys(up(), "1x69 stale _x40 1x400")
    firing(
        tmp_path,
        series,
        {
            29: {"ServiceUnblocked": []},
            **{at: {"ServiceUnblocked": [EVENT]} for at in (31, 34, 36, 45, 54, 56, 59)},
            **{at: {"ServiceUnblocked": []} for at in (62, 90)},
        },
    )


def witnesses(**counts: float) -> dict[str, str]:
    """Who shows the event, the kind that it rests on first."""
    name = f'reachwatch_block_event_witnesses{{event_id="{ID}",source="%s",role="%s"}}'
    return {
        name % (source, "too" if place else "rests_on"): minutes(count, 0)
        for place, (source, count) in enumerate(counts.items())
    }


@pytest.mark.parametrize(
    ("counts", "asked_for", "told"),
    [
        ({"own": 3}, False, True),
        ({"own": 3, "ooni": 14}, False, True),
        ({"ooni": 14}, False, False),
        ({"ooni": 14}, True, True),
        ({"ooni": 14, "own": 3}, False, False),
        ({"ooni": 14, "own": 3}, True, False),
    ],
    ids=["ours", "ours and theirs", "theirs", "theirs, asked for", "ours beside", "beside, asked"],
)
def test_what_measurements_of_others_alone_show_is_a_ticket_on_request(
    tmp_path: Path, counts: dict[str, float], asked_for: bool, told: bool
) -> None:
    """And its end is told where its beginning was. One block is one ticket."""
    policy = Policy(alerting=AlertingPolicy(import_tickets=asked_for))
    series = up() | event("likely", 0, 60, asns=(1, 2, 3)) | witnesses(**counts)
    series |= ended("closed", 60, tier="likely") | counter("closed", (0, 0), (60, 1))
    expected = [EVENT] if told else []
    firing(
        tmp_path,
        series,
        {
            40: {"ServiceBlockLikely": expected, "BlockSpreading": [PLACE] if told else []},
            70: {"ServiceUnblocked": expected},
        },
        policy,
    )
