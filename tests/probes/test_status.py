import datetime as dt

import msgspec
import pytest

from probes.delivery.spool import SpoolCounts
from probes.status import (
    REVOKED,
    ProbeStatus,
    is_revoked,
    message,
    month_end_bytes,
    notices,
    problem,
)
from probes.wire.codec import FailingWay
from tests.probes.delivery.test_spool import PROBE

NOW = 1_795_500_000_000


def probe_status(**more: object) -> ProbeStatus:
    base = ProbeStatus(
        probe=PROBE,
        version="1",
        catalogue="abc",
        targets=2,
        country="FR",
        asn=64503,
        updated_ms=NOW,
        started_ms=NOW - 1000,
        interval_ms=300_000,
    )
    return msgspec.structs.replace(base, **more)


def test_problems_of_a_probe() -> None:
    assert problem(None, NOW).startswith("has never run in this state directory")
    assert problem(probe_status(), NOW) == ""
    assert problem(probe_status(transport=""), NOW) == ""
    start = "start it with `reachprobe run`"
    assert problem(probe_status(stopped=True), NOW) == f"stopped: {start}"
    unsaved = problem(probe_status(stopped=True), NOW, running=True)
    assert unsaved.startswith("running, but its status is out of date")
    assert problem(probe_status(), NOW + 120_000) == f"not running: {start}"
    assert problem(probe_status(), NOW - 120_000) == f"not running: {start}"
    assert problem(probe_status(trouble="disk full"), NOW) == "disk full"
    old = probe_status(measured_ms=NOW - 2_000_000, started_ms=NOW - 9_000_000)
    assert problem(old, NOW).startswith("no round for a long time")


def test_a_revoked_probe_is_told_from_one_that_is_new() -> None:
    accepted = {"refused": 2, "last_ack_ms": NOW - 5000}
    assert problem(probe_status(**accepted), NOW) == REVOKED == "revoked: ask your operator"
    assert problem(probe_status(**accepted, stopped=True), NOW) == REVOKED
    assert problem(probe_status(refused=1, last_ack_ms=1), NOW) == ""
    assert problem(probe_status(refused=9), NOW) == "", "the broker may not know it yet"
    assert problem(probe_status(refused=9, started_ms=NOW - 301_000), NOW) == REVOKED


def test_a_probe_stops_measuring_when_it_was_refused_for_long() -> None:
    long, short = NOW - 601_000, NOW - 599_000
    refused = {"refused": 2, "last_ack_ms": NOW - 900_000}
    assert is_revoked(probe_status(**refused, away_ms=long), NOW)
    assert not is_revoked(probe_status(**refused, away_ms=short), NOW)
    assert not is_revoked(probe_status(refused=9, away_ms=long), NOW), "it is new"
    assert not is_revoked(probe_status(last_ack_ms=1, away_ms=long), NOW), "nobody refused"
    known = probe_status(revoked=True, away_ms=short)
    assert is_revoked(known, NOW), "also while no broker can be asked, and after a restart"
    assert problem(known, NOW) == REVOKED
    assert not is_revoked(probe_status(revoked=True, transport="mqtts+5"), NOW)


def test_a_paused_probe_is_not_ill() -> None:
    old = {"measured_ms": NOW - 2_000_000, "started_ms": NOW - 9_000_000}
    assert problem(probe_status(**old, paused=True), NOW) == ""
    assert problem(probe_status(**old, metered=True), NOW) == ""
    assert problem(probe_status(**old, resumed_ms=NOW - 1000), NOW) == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"paused": True}, "paused: `reachprobe resume` goes on"),
        ({"metered": True}, "metered connection"),
        ({"offline": True, "away_ms": NOW - 600_000}, "this machine is offline"),
        ({"away_ms": NOW - 600_000}, "the broker has been away for 10 min"),
        ({"away_ms": NOW - 5_000}, None),
        ({"country": "ZZ"}, "start it with --country CC --asn N"),
        ({"asn": 0}, "start it with --country CC --asn N"),
        ({"asn": 0, "role": "control"}, None),
        ({"unaccepted": 3, "unaccepted_ms": NOW - 86_400_000}, None),
        (
            {"unaccepted": 3, "unaccepted_ms": NOW - 1, "unaccepted_reason": "clock_ahead"},
            "did not accept 3 measurements (clock_ahead): ask your operator",
        ),
        ({"flooded_ms": NOW - 86_400_000}, None),
        ({"flooded_ms": NOW - 1}, "the broker sent more than it may"),
        ({"no_certificates": True}, "whether the network asks you to log in"),
        ({"clock_offset_ms": 7_200_000}, "120 min fast: set it"),
        ({"clock_offset_ms": -7_200_000}, "120 min slow: set it"),
    ],
)
def test_what_a_volunteer_should_know(fields: dict[str, object], words: str | None) -> None:
    lines = notices(probe_status(**fields), NOW)
    assert len(lines) == (words is not None)
    assert all(words in line for line in lines if words is not None)


def test_a_machine_without_a_route_is_offline_before_the_next_round_shows_it() -> None:
    (line,) = notices(probe_status(away_ms=NOW - 600_000), NOW, route=False)
    assert "offline" in line
    online = probe_status(transport="mqtts+5")
    assert notices(online, NOW, route=False) == [], "the broker is reached some other way"


def test_the_traffic_of_the_whole_month() -> None:
    noon = int(dt.datetime(2026, 11, 16, tzinfo=dt.UTC).timestamp() * 1000)
    shown = probe_status(updated_ms=noon, month_spent_bytes=100, month_bytes=3000)
    assert month_end_bytes(shown) == 100 + 1500  # half of its 30 days is left


def test_the_message_to_the_monitor_counts_every_loss() -> None:
    failing = (FailingWay(way="mqtts", failure="connection_reset", since_ms=7, attempts=2),)
    sent = message(
        probe_status(failing_ways=failing),
        SpoolCounts(taken=9, pending=4, dropped=1, refused=2, epoch="e", sequence=12, acked=4),
        state="hello",
        boot="b",        consent="c", oldest_seconds=8, untaken=3, transport="mqtt+5",
        clock_ms=5,
    )  # fmt: skip
    assert (sent.state, sent.spool_rows, sent.spool_oldest_seconds) == ("hello", 4, 8)
    assert (sent.dropped, sent.taken, sent.version) == (6, 9, "1")
    assert sent.failing_ways == failing
    assert (sent.epoch, sent.sequence, sent.acked, sent.clock_ms) == ("e", 12, 4, 5)
