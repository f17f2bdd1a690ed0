"""What is said of the monitor itself: fed to Prometheus' own rule tester."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts.health import alerts
from monitor.detection.policy import Policy
from tests.alerting.promtool import firing, minutes, steps, up, vantages

pytestmark = pytest.mark.needs("promtool")

RECEIVED = "reachwatch_last_measurement_timestamp_seconds"
CONCLUDED = "reachwatch_last_concluded_round_timestamp_seconds"
INGESTED = "reachwatch_measurements_ingested_total"


def test_a_monitor_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    firing(
        tmp_path,
        up(0, 30) | {'up{job="reachwatch",instance="a"}': steps((0, 1), (30, 0))},
        {
            29: {"ReachwatchDown": [], "ReachwatchInstanceDown": []},
            34: {"ReachwatchDown": []},
            36: {
                "ReachwatchDown": [{}],
                "ReachwatchInstanceDown": [{"job": "reachwatch", "instance": "a"}],
            },
        },
    )


def test_one_of_two_servers_is_a_ticket(tmp_path: Path) -> None:
    series = up() | {'up{job="reachwatch",instance="b"}': steps((0, 1), (30, 0))}
    expected = [{"job": "reachwatch", "instance": "b"}]
    firing(tmp_path, series, {40: {"ReachwatchDown": [], "ReachwatchInstanceDown": expected}})


def fleet(role: str, online: str) -> dict[str, str]:
    return vantages("RU", role, "online", online)


def test_stalled_ingest_is_reported(tmp_path: Path) -> None:
    series = up() | fleet("vantage", minutes(3, 0, 45))
    series |= vantages("RU", "vantage", "silent", "_x90 3x700")
    series |= {INGESTED: "0+10x60 600x700"}
    firing(
        tmp_path,
        series,
        {
            30: {"CollectorIngestStalled": []},
            90: {"CollectorIngestStalled": []},
            100: {"CollectorIngestStalled": [{}]},
            150: {"CollectorIngestStalled": [{}]},
        },
    )


def test_a_fleet_that_never_pauses_is_missed_sooner(tmp_path: Path) -> None:
    series = up(0, 480) | fleet("vantage", "3x960") | {INGESTED: "0+10x840 8400x120"}
    firing(
        tmp_path,
        series,
        {
            420: {"CollectorIngestStalled": []},
            434: {"CollectorIngestStalled": []},
            445: {"CollectorIngestStalled": [{}]},
        },
    )


def test_probes_that_measure_every_half_hour_wake_nobody(tmp_path: Path) -> None:
    bursts = " ".join(f"{10 * number}x59" for number in range(20))
    series = up(0, 600) | fleet("vantage", "3x1200") | {INGESTED: bursts}
    firing(tmp_path, series, {m: {"CollectorIngestStalled": []} for m in range(5, 590, 9)})


@pytest.mark.parametrize(
    ("online", "ingested"),
    [
        pytest.param("3x400", "0+10x400", id="all is well"),
        pytest.param("0x400", "500x400", id="nobody was there"),
        pytest.param("1x60 0x400", "0+10x60 600x400", id="one laptop was closed"),
        pytest.param("3x60 stale _x120 3x400", "0+10x60 stale _x120 610+10x400", id="outage"),
    ],
)
def test_ingest_does_not_stall(tmp_path: Path, online: str, ingested: str) -> None:
    series = up() | fleet("vantage", online) | {INGESTED: ingested}
    at = (10, 31, 60, 89, 91, 93, 96, 100, 120)
    firing(tmp_path, series, {m: {"CollectorIngestStalled": []} for m in at})


@pytest.mark.parametrize(
    ("received", "concluded", "expected"),
    [
        pytest.param("100000+30x200", "99400+30x200", [], id="two rounds behind"),
        pytest.param("100000+30x200", "99400x200", [{}], id="dead detector"),
        pytest.param("100000+30x200", "_x200", [{}], id="never started"),
        pytest.param("100000x200", "99990x200", [], id="nothing arrives"),
    ],
)
def test_detector_lag(
    tmp_path: Path, received: str, concluded: str, expected: list[dict[str, str]]
) -> None:
    series = up() | {RECEIVED: received, CONCLUDED: concluded}
    firing(tmp_path, series, {30: {"DetectorLagging": expected}})


def test_an_import_of_old_measurements_is_no_lag(tmp_path: Path) -> None:
    """They arrive today, and their rounds, of years ago, are judged."""
    series = up() | {RECEIVED: "1795886321x60", CONCLUDED: "1701301500x60"}
    newest = "reachwatch_newest_round_timestamp_seconds"
    firing(tmp_path, series | {newest: "1701301500x60"}, {30: {"DetectorLagging": []}})
    firing(tmp_path, series | {newest: "1795885800x60"}, {30: {"DetectorLagging": [{}]}})
    # Measurements of now are among many old ones: they are the newest at some scrapes only.
    mixed = f"1795885800 {'1701301500 ' * 5}" * 10
    firing(tmp_path, series | {newest: mixed}, {30: {"DetectorLagging": [{}]}})


def test_a_fresh_monitor_may_take_its_time_to_judge(tmp_path: Path) -> None:
    series = up() | {RECEIVED: "_x10 100000+30x200", CONCLUDED: "_x32 100300+30x200"}
    firing(tmp_path, series, {at: {"DetectorLagging": []} for at in (6, 12, 16, 18, 30, 60)})


@pytest.mark.parametrize("end", ["silent", "gone"])
def test_no_control(tmp_path: Path, end: str) -> None:
    series = up() | fleet("vantage", "3x200") | fleet("control", minutes(1, 0, 20))
    if end == "silent":
        series |= vantages("DE", "control", "silent", "_x40 1x200")
    firing(tmp_path, series, {30: {"ControlSilent": []}, 40: {"ControlSilent": [{}]}})


def test_a_fresh_monitor_without_probes_misses_no_control(tmp_path: Path) -> None:
    firing(tmp_path, up(), {60: {"ControlSilent": [], "CollectorIngestStalled": []}})


def test_an_offline_vantage_is_kept_and_wakes_nobody(tmp_path: Path) -> None:
    series = up() | fleet("vantage", steps((0, 3), (30, 2)))
    series |= vantages("RU", "vantage", "silent", steps((0, 1), (30, 2)))
    nobody = {"CountryDark": [], "ServiceBlockConfirmed": [], "CollectorIngestStalled": []}
    firing(
        tmp_path,
        series,
        {
            29: {"VantageSilent": []},
            50: {"VantageSilent": [{"country": "RU"}], **nobody},
        },
    )


@pytest.mark.parametrize(
    ("enrolled", "refused", "told"),
    [
        (steps((0, 40), (90, 340)), "0x400", True),
        (steps((0, 40), (90, 60)), "0x400", False),
        (steps((0, 2000), (90, 2150)), "0x400", False),
        ("40x400", steps((0, 0), (90, 9)), True),
        ("40x400", steps((0, 0), (90, 3)), False),
    ],
    ids=["300 at once", "a workshop", "a large fleet grows", "refused", "a few refused"],
)
def test_a_spike_of_enrolments_is_a_ticket(
    tmp_path: Path, enrolled: str, refused: str, told: bool
) -> None:
    names = ("reachwatch_probes_enrolled_total", "reachwatch_enrolments_refused_total")
    values = zip(names, (enrolled, refused), strict=True)
    series = {f'{name}{{instance="a"}}': value for name, value in values}
    ticket = [{}] if told else []
    firing(
        tmp_path,
        up() | series,
        {89: {"EnrolmentSpike": []}, 100: {"EnrolmentSpike": ticket}, 170: {"EnrolmentSpike": []}},
    )


def test_a_collector_that_cannot_work_is_reported(tmp_path: Path) -> None:
    connected = 'reachwatch_collector_connected{instance="c",to="broker"}'
    left = 'reachwatch_collector_unacknowledged_batches_total{instance="c",reason="over_quota"}'
    firing(
        tmp_path,
        up()
        | {connected: steps((0, 1), (30, 0)), left: "0x120 5x700"}
        | {'up{job="reachwatch-parts",instance="c"}': steps((0, 1), (90, 0))},
        {
            29: {"CollectorDisconnected": []},
            40: {
                "CollectorDisconnected": [{"instance": "c", "to": "broker"}],
                "CollectorLeavesBatches": [],
                "ReachwatchPartDown": [],
            },
            70: {"CollectorLeavesBatches": [{"instance": "c", "reason": "over_quota"}]},
            100: {
                "CollectorLeavesBatches": [],
                "ReachwatchPartDown": [{"job": "reachwatch-parts", "instance": "c"}],
            },
        },
    )


def test_a_part_without_a_leader_is_reported_and_a_standby_is_not(tmp_path: Path) -> None:
    one = 'reachwatch_detector_leader{instance="a",shard="1/2"}'
    other = 'reachwatch_detector_leader{instance="b",shard="1/2"}'
    firing(
        tmp_path,
        up() | {one: steps((0, 1), (30, 0)), other: steps((0, 0), (60, 1))},
        {
            29: {"DetectorWithoutLeader": []},
            40: {"DetectorWithoutLeader": [{"shard": "1/2"}]},
            70: {"DetectorWithoutLeader": []},
        },
    )


BACKLOG = 'reachwatch_detector_backlog_seconds{instance="d"}'


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param("0x20 4000+30x400", [{"instance": "d"}], id="older and older"),
        pytest.param("0x20 90000-100x400", [], id="worked off after an outage of a day"),
        pytest.param("0x20 90000x60 0x10 90000x60 0x200", [], id="late ones, now and then"),
        pytest.param("0+30x60 300+0x400", [], id="of one round"),
        pytest.param("90000-100x100 _x10 80000-100x400", [], id="a restart in between"),
    ],
)
def test_a_backlog_is_reported_when_it_does_not_become_smaller(
    tmp_path: Path, seconds: str, expected: list[dict[str, str]]
) -> None:
    at = (15, 60, 100, 150) if not expected else (150,)
    firing(tmp_path, up() | {BACKLOG: seconds}, {m: {"DetectorBacklog": expected} for m in at})


def test_a_damaged_batch_is_reported_also_when_it_is_found_at_once(tmp_path: Path) -> None:
    one = 'reachwatch_detector_damaged_batches_total{instance="a"}'
    other = 'reachwatch_detector_damaged_batches_total{instance="b"}'
    series = up() | {one: steps((0, 0), (30, 2), (90, 0)), other: "_x20 1x400"}
    at_once = [{"instance": "b"}]
    firing(
        tmp_path,
        series,
        {
            5: {"DetectorDamagedBatches": []},
            20: {"DetectorDamagedBatches": at_once},
            100: {"DetectorDamagedBatches": at_once},
        },
    )
    firing(tmp_path, up() | {one: "0x700"}, {60: {"DetectorDamagedBatches": []}})


QUEUE = 'reachwatch_collector_queue_messages{instance="c"}'
DROPPED = 'reachwatch_collector_unacknowledged_batches_total{instance="c",reason="dropped"}'


@pytest.mark.parametrize(
    ("queue", "dropped", "expected"),
    [
        pytest.param("0x20 9000x400", "0x420", [{"instance": "c"}], id="full"),
        pytest.param("0x420", "0x20 0+3x400", [{"instance": "c"}], id="drops"),
        pytest.param("0x20 9000x40 3x400", "0x20 0+90x40 3600x400", [], id="a fleet drains"),
        pytest.param("12x420", "0x420", [], id="always a few"),
        pytest.param("0x20 9000x10 0x400", "40x20 stale 0x400", [], id="a restart"),
    ],
)
def test_an_overloaded_collector_is_reported_when_it_lasts(
    tmp_path: Path, queue: str, dropped: str, expected: list[dict[str, str]]
) -> None:
    firing(
        tmp_path,
        up() | {QUEUE: queue, DROPPED: dropped},
        {
            30: {"CollectorOverloaded": [], "CollectorLeavesBatches": []},
            60: {"CollectorOverloaded": []},
            110: {"CollectorOverloaded": expected, "CollectorLeavesBatches": []},
        },
    )


@pytest.mark.parametrize(
    ("each_time", "ticket"),
    [pytest.param(100, True, id="all"), (2, True), (0.3, False), pytest.param(0, False, id="none")],
)
def test_measurements_that_are_refused_and_forgotten_are_reported(
    tmp_path: Path, each_time: float, ticket: bool
) -> None:
    quarantined = 'reachwatch_measurements_quarantined_total{instance="a",reason="unknown_target"}'
    stored = 0 if each_time == 100 else 100
    firing(
        tmp_path,
        up() | {INGESTED: f"1000+{stored}x300", quarantined: f"0x100 0+{each_time}x200"},
        {
            40: {"MeasurementsQuarantined": []},
            140: {"MeasurementsQuarantined": [{"reason": "unknown_target"}] if ticket else []},
        },
    )


def test_a_webhook_that_fails_is_reported_over_a_restart(tmp_path: Path) -> None:
    waiting = 'reachwatch_webhook_waiting_seconds{instance="a",host="newsroom.example"}'
    firing(
        tmp_path,
        # Fails from minute 10, the detector is started again at 50, it is accepted at 90.
        up() | {waiting: "0x19 0+30x79 0+30x79 0x400"},
        {
            20: {"WebhookFailing": []},
            40: {"WebhookFailing": [{"host": "newsroom.example"}]},
            55: {"WebhookFailing": [{"host": "newsroom.example"}]},
            80: {"WebhookFailing": [{"host": "newsroom.example"}]},
            120: {"WebhookFailing": []},
        },
    )
    short = up() | {waiting: "0x19 0+30x20 0x400"}
    firing(tmp_path, short, {m: {"WebhookFailing": []} for m in (15, 21, 30)})


def test_a_source_that_is_behind_is_a_ticket_and_one_that_catches_up_is_not(tmp_path: Path) -> None:
    lag = 'reachwatch_follow_lag_seconds{source="ooni"}'
    # From two hours on it stands still, and follows again after ten hours.
    stands = up() | {lag: "7200+30x1200 7200x400"}
    late = [{"source": "ooni"}]
    firing(
        tmp_path,
        stands,
        {200: {"FollowBehind": []}, 360: {"FollowBehind": late}, 640: {"FollowBehind": []}},
    )
    catches_up = up() | {lag: "2592000-10800x230 7200x400"}
    firing(tmp_path, catches_up, {m: {"FollowBehind": []} for m in (30, 70, 110, 180)})


def test_the_dead_mans_switch_always_fires(tmp_path: Path) -> None:
    firing(tmp_path, {"x": "1"}, {0: {"DeadMansSwitch": [{}]}, 90: {"DeadMansSwitch": [{}]}})


def test_alerts_that_page() -> None:
    paging = {alert.name for alert in alerts(Policy()) if alert.severity == "page"}
    assert paging == {
        "ReachwatchDown",
        "CollectorIngestStalled",
        "DetectorLagging",
        "DetectorWithoutLeader",
    }
