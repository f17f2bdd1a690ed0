"""Made-up incidents in OONI's own format: files of web_connectivity 0.4 and 0.5 in, the events that
a researcher gets out.

Each world has one network, AS64500, that something happens to, and others beside it. Runs are an
hour apart unless a world says otherwise.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.measurement_files import read_files
from monitor.commands.replay import FOREVER, fold_files
from monitor.detection.policy import Policy
from tests.monitor.interop.ooni.test_interference import (
    FALSE,
    NAME,
    TRUE,
    URL,
    helper,
    system,
    udp,
    works,
)
from tests.monitor.interop.samples import connect, document, handshake, request

BEGIN = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
VERSIONS = ("0.4.3", "0.5.28")
SUBJECT, BESIDE, ABROAD = ("KE", 64500), ("KE", 64501), ("TZ", 64510)
HISTORY = 48
Keys = dict[str, Any]


def good(version: str) -> Keys:
    if version.startswith("0.4"):
        return {
            "queries": [system(TRUE)],
            "tcp_connect": [connect(TRUE, 443)],
            "requests": [request(URL)],
        }
    return {"queries": [system(TRUE), udp(TRUE)], **works(TRUE)}


def nxdomain(version: str) -> Keys:
    failed = system(failure="dns_nxdomain_error")
    if version.startswith("0.4"):
        return {"queries": [failed], "requests": [request(URL, "dns_nxdomain_error")]}
    return {"queries": [failed, udp(TRUE)], **works(TRUE)}


def zero(version: str) -> Keys:
    """0.0.0.0, which connects to the device itself."""
    itself = {"queries": [system("0.0.0.0")], "tcp_connect": [connect("0.0.0.0", 443)]}
    if version.startswith("0.4"):
        return {**itself, "requests": [request(URL, "ssl_failed_handshake")]}
    true = works(TRUE)
    return {**true, **itself, "tcp_connect": [*itself["tcp_connect"], *true["tcp_connect"]]}


def lie(version: str) -> Keys:
    """Somebody else's address, whose certificate is not the service's."""
    lied = {"queries": [system(FALSE)], "tcp_connect": [connect(FALSE, 443)]}
    if version.startswith("0.4"):
        return {**lied, "requests": [request(URL, "ssl_invalid_hostname")]}
    true = works(TRUE)
    shaken = [handshake(NAME, FALSE, "ssl_invalid_hostname"), *true["tls_handshakes"]]
    return {**true, **lied, "tls_handshakes": shaken}


def reset(version: str) -> Keys:
    cut = {"queries": [system(TRUE)], "tcp_connect": [connect(TRUE, 443)]}
    if version.startswith("0.5"):
        cut["tls_handshakes"] = [handshake(NAME, TRUE, "connection_reset")]
    return {**cut, "requests": [request(URL, "connection_reset")]}


Fault = Callable[[str], Keys]


def run(
    hour: float,
    place: tuple[str, int],
    version: str,
    fault: Fault = good,
    control: Keys | None = None,
    **more: Any,
) -> Keys:
    """One run."""
    at = BEGIN + dt.timedelta(hours=hour, seconds=place[1] % 100)
    shown = control if control is not None else helper(version=version[:3])
    told = document("web_connectivity", control=shown, control_failure=None, **fault(version))
    told["annotations"] |= more
    return told | {
        "input": URL,
        "measurement_start_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "probe_asn": f"AS{place[1]}",
        "probe_cc": place[0],
        "report_id": f"{hour}_{place[1]}_{version}",
        "resolver_asn": f"AS{place[1]}",
        "test_version": version,
    }


def world(
    hours: int, version: str, fault: Fault, when: Callable[[int], bool], **more: Any
) -> Iterator[Keys]:
    """Three networks, of which one has the fault at some hours after the history."""
    for hour in range(HISTORY + hours):
        failing = hour >= HISTORY and when(hour - HISTORY)
        yield run(hour, SUBJECT, version, fault if failing else good, **(more if failing else {}))
        yield run(hour, BESIDE, version)
        yield run(hour, ABROAD, version)


def events(folder: Path, runs: Iterator[Keys]) -> list[str]:
    """The events as golden lines: networks, technique, tier, state, onset and end in hours since
    the history, and each network's spans."""

    def hours(at: int | None) -> str:
        since = BEGIN.timestamp() * 1000 + HISTORY * 3_600_000
        return "-" if not at else f"{(at - since) / 3_600_000:g}"

    file = folder / "runs.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in runs))
    found = fold_files(read_files([str(file)]).stored, FOREVER, Policy()).events
    return [
        f"{','.join(map(str, event.asns))} {event.technique} {event.tier} {event.state} "
        f"{hours(event.onset)}..{hours(event.closed)}: "
        + "; ".join(
            f"{each.asn} "
            + " ".join(f"{hours(a)}-{hours(b)}-{hours(again)}" for a, b, again in each.spans)
            for each in event.networks
        )
        for event in found
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("fault", "technique"),
    [
        (nxdomain, "dns.nxdomain"),
        (zero, "dns.injection.bogon"),
        (lie, "dns.injection.other"),
        (reset, "tls.reset.other"),
    ],
)
def test_interference_is_found_in_both_versions(
    tmp_path: Path, version: str, fault: Fault, technique: str
) -> None:
    assert events(tmp_path, world(12, version, fault, lambda hour: True)) == [
        f"64500 {technique} likely open 0..-: 64500 0-11--"
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_helper_cannot_reach_either_is_no_event(tmp_path: Path, version: str) -> None:
    down = helper(http=False, tls=False, version=version[:3])
    assert events(tmp_path, world(24, version, reset, lambda hour: True, control=down)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_runs_over_a_vpn_are_no_event(tmp_path: Path, version: str) -> None:
    over = world(24, version, nxdomain, lambda hour: True, network_type="vpn")
    assert events(tmp_path, over) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_four_failures_in_seventeen_runs_are_no_event(tmp_path: Path, version: str) -> None:
    assert events(tmp_path, world(17, version, zero, lambda hour: hour % 5 == 0)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resolver_that_also_answers_well_within_the_hour_is_no_event(
    tmp_path: Path, version: str
) -> None:
    def both() -> Iterator[Keys]:
        yield from world(0, version, zero, lambda hour: False)
        for n in range(5):
            hour = HISTORY + 2 * n
            yield run(hour, SUBJECT, version, zero)
            yield run(hour + 0.5, SUBJECT, version)
            yield run(hour + 1, BESIDE, version)

    assert events(tmp_path, both()) == []


@pytest.mark.parametrize("hours", [8, 24 * 9])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_network_with_few_runs_is_heard(tmp_path: Path, version: str, hours: int) -> None:
    def sparse() -> Iterator[Keys]:
        for n in range(-9, 7):
            hour = HISTORY + 9 * 24 * 9 + n * hours
            yield run(hour, SUBJECT, version, reset if n >= 0 else good)
            yield run(hour + 0.5, BESIDE, version)

    onset = 9 * 24 * 9
    assert events(tmp_path, sparse()) == [
        f"64500 tls.reset.other likely open {onset}..-: 64500 {onset}-{onset + 6 * hours}--"
    ]


def test_those_who_run_an_old_version_of_the_test_are_not_accused(tmp_path: Path) -> None:
    """For twelve hours the old version fails everywhere. Then all but one have the new one."""
    old, new = VERSIONS
    countries = [SUBJECT, BESIDE, ABROAD, ("TZ", 64511), ("UG", 64520), ("UG", 64521)]

    def moved() -> Iterator[Keys]:
        for hour in range(HISTORY + 96):
            for place in countries:
                failing = hour >= HISTORY
                updated = hour >= HISTORY + 12 and place != SUBJECT
                version = new if updated else old
                yield run(hour, place, version, reset if failing and not updated else good)

    assert events(tmp_path, moved()) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_network_that_fails_in_the_hours_of_a_known_block_joins_it_with_its_own_spans(
    tmp_path: Path, version: str
) -> None:
    """One network is cut off from 6 to 12 h on four days and has a run every hour; in the other, a
    volunteer measures at 1, 7, 13 and 19 h."""

    def school(hour: int) -> bool:
        return HISTORY <= hour < HISTORY + 96 and 6 <= hour % 24 < 12

    def days(blocked: bool) -> Iterator[Keys]:
        for hour in range(HISTORY + 24 * 9):
            yield run(hour, BESIDE, version, reset if blocked and school(hour) else good)
            yield run(hour, ABROAD, version)
            if hour % 6 == 1:
                yield run(hour + 0.2, SUBJECT, version, reset if school(hour) else good)

    assert events(tmp_path, days(False)) == []
    beside = " ".join(f"{24 * d + 6}-{24 * d + 11}-{24 * d + 12}" for d in range(4))
    (found,) = events(tmp_path, days(True))
    assert found.startswith("64500,64501 tls.reset.other likely closed 6..")
    assert found.endswith(f"; 64501 {beside}")


@pytest.mark.parametrize("helped", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_who_lags_behind_after_a_fault_of_all_the_world_must_work_again_first(
    tmp_path: Path, version: str, helped: bool
) -> None:
    """For six hours nobody reaches the site, one network for 24 more. Later it is blocked there.
    `helped`: OONI's helper reaches it all the time, and else as the others do."""
    countries = [SUBJECT, BESIDE, ABROAD, ("TZ", 64511), ("UG", 64520), ("UG", 64521)]
    down = helper(http=False, tls=False, version=version[:3])

    def lagging(again: int) -> Iterator[Keys]:
        for hour in range(HISTORY + again + 12):
            for place in countries:
                since = hour - HISTORY
                failing = 0 <= since < 6 or (place == SUBJECT and (since < 30 or since >= again))
                control = down if 0 <= since < 6 and not helped else None
                fault = reset if failing and since >= 0 else good
                yield run(hour, place, version, fault, control)

    assert events(tmp_path, lagging(18)) == []
    assert events(tmp_path, lagging(60)) == [
        "64500 tls.reset.other likely open 60..-: 64500 60-71--"
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_two_countries_that_block_a_day_apart_are_two_events(tmp_path: Path, version: str) -> None:
    since = {SUBJECT: 0, BESIDE: 0} | {("TZ", 64510): 24, ("TZ", 64511): 24, ("UG", 64520): 999}

    def both() -> Iterator[Keys]:
        for hour in range(HISTORY + 48):
            for place, begin in since.items():
                yield run(hour, place, version, reset if hour - HISTORY >= begin else good)

    assert events(tmp_path, both()) == [
        "64500,64501 tls.reset.other likely open 0..-: 64500 0-47--; 64501 0-47--",
        "64510,64511 tls.reset.other likely open 24..-: 64510 24-47--; 64511 24-47--",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_helper_that_fails_beside_the_first_run_of_a_block_hides_nothing(
    tmp_path: Path, version: str
) -> None:
    down = helper(http=False, tls=False, version=version[:3])

    def begins() -> Iterator[Keys]:
        yield from world(1, version, reset, lambda hour: True, control=down)
        for hour in range(HISTORY + 1, HISTORY + 12):
            yield run(hour, SUBJECT, version, reset)
            yield run(hour, BESIDE, version)
            yield run(hour, ABROAD, version)

    assert events(tmp_path, begins()) == ["64500 tls.reset.other likely open 1..-: 64500 1-11--"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_block_by_the_hour_is_one_event_with_its_pauses(tmp_path: Path, version: str) -> None:
    found = events(tmp_path, world(24 * 8, version, lie, lambda h: h < 96 and 6 <= h % 24 < 12))
    spans = " ".join(f"{24 * d + 6}-{24 * d + 11}-{24 * d + 12}" for d in range(4))
    assert found == [f"64500 dns.injection.other likely closed 6..84: 64500 {spans}"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_block_that_creeps_is_found_before_it_becomes_normal(
    tmp_path: Path, version: str
) -> None:
    """The share of runs that fail grows from none to all within ten days."""

    def creeps(hour: int) -> bool:
        return hour * 0.618034 % 1 < hour / 240

    (found,) = events(tmp_path, world(24 * 12, version, nxdomain, creeps))
    assert found.startswith("64500 dns.nxdomain likely open ")
    assert 0 < float(found.split()[4].partition("..")[0]) < 160


def lone(version: str, fault: Fault, control: Keys | None = None) -> Iterator[Keys]:
    """One network, which nobody's runs can be compared with."""
    for hour in range(HISTORY + 12):
        failing = hour >= HISTORY
        yield run(hour, SUBJECT, version, fault if failing else good, control if failing else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_helper_is_a_control_where_no_other_network_measures(
    tmp_path: Path, version: str
) -> None:
    assert events(tmp_path, lone(version, reset)) == [
        "64500 tls.reset.other likely open 0..-: 64500 0-11--"
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_helper_that_was_not_asked_is_no_control(tmp_path: Path, version: str) -> None:
    (found,) = events(tmp_path, lone(version, reset, control={}))
    assert " unconfirmed open " in found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_helper_in_another_part_of_the_world_accuses_no_region(
    tmp_path: Path, version: str
) -> None:
    """In three countries of four the service is down; the helper reaches it from elsewhere."""
    region = {SUBJECT, ABROAD, ("UG", 64520)}

    def regional() -> Iterator[Keys]:
        for hour in range(HISTORY + 30):
            for place in (*sorted(region), ("ET", 64530)):
                failing = hour >= HISTORY and place in region
                yield run(hour, place, version, reset if failing else good)

    assert events(tmp_path, regional()) == []
