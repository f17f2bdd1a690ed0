"""Forms: columns that match their rows, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.events.present import PresentState
from monitor.detection.model import (
    BY_OPERATOR,
    Answer,
    Change,
    ChangeKind,
    ClosedGate,
    Contrasts,
    Difference,
    OtherWitnesses,
    State,
    Tier,
    Verdict,
)
from monitor.interop import forms
from monitor.interop.forms import COLUMNS, as_csv, rfc3339
from monitor.store.reading.measurements import JudgedMeasurement
from monitor.store.reading.timeline import TimelineCell
from monitor.store.reading.vantages import VantageRow
from tests.world import site as world

PRESENT = PresentState(
    target="wechat/web", country="RU", asn=1, state=State.OK, technique=None, rule="r",
    vantages=2, agreeing=2, round=0,
)  # fmt: skip
BUCKET = TimelineCell(
    hour=0, target="a/b", country="RU", asn=1, state="ok", layer=None, technique=None, n=3,
    vantages=2,
)  # fmt: skip
JUDGED = JudgedMeasurement(
    started=1_800_000_000_000,
    id="0" * 32, target="a/b", country="RU", asn=1, probe="p", round=0, arrival=1,
    verdict=Verdict(target="a/b", state=State.OK, rule="r", evidence=("x", "y")),
)  # fmt: skip
ROW = VantageRow(
    id="p", owner=world.FORMULA, role="vantage", country="RU", asn=1, enrolled=0, revoked=None,
    last_seen=None,
)  # fmt: skip


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("events", forms.event_form(world.events()[0])),
        ("measurements", forms.judged_form(JUDGED)),
        ("timeline", forms.bucket_form(BUCKET)),
        ("vantages", forms.vantage_form(ROW, "online")),
        ("services", {"id": "s", "name": "S", "targets": [], "open_events": [], "states_total": 1,
                      "states": [forms.present_form(PRESENT)]}),
    ],
)  # fmt: skip
def test_columns_are_those_of_the_rows(name: str, row: dict[str, Any]) -> None:
    one = row | {"states": row["states"][0]} if name == "services" else row
    assert tuple(dict(forms._flattened(one))) == tuple(COLUMNS[name])
    (said,) = read(as_csv(name, [row]))
    assert tuple(said) == tuple(COLUMNS[name])
    assert None not in said.values()


def test_lists_and_counts_are_one_cell() -> None:
    beside = OtherWitnesses("ooni", "e", Tier.LIKELY, 14, 2)
    event = replace(world.events()[0], beside=(beside,))
    (row,) = read(as_csv("events", [forms.event_form(event)]))
    assert (row["sources"], row["same_block"]) == ("own=3 ooni=14", "e")
    assert row["rule_counts"] == "tls.reset.sni=36"
    assert row["asns"] == "64501"
    assert row["vantages.agreeing"] == "3"
    assert row["history"].startswith("2027")
    assert "; " in row["history"]


def test_a_service_has_one_row_a_state_and_at_least_one() -> None:
    state = forms.present_form(PRESENT)
    two = {"id": "s", "name": "S", "targets": [], "open_events": ["e"], "states": [state, state]}
    rows = read(as_csv("services", [two, two | {"states": []}]))
    assert [row["states.target"] for row in rows] == ["wechat/web", "wechat/web", ""]
    assert {(row["id"], row["open_events"]) for row in rows} == {("s", "e")}


def test_an_owner_who_is_a_formula_is_inert() -> None:
    (row,) = read(as_csv("vantages", [forms.vantage_form(ROW, "online")]))
    assert row["owner"] == f"'{world.FORMULA}"


def test_times() -> None:
    assert rfc3339(None) is None
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1) == "1970-01-01T00:00:00.001Z"


DIFFERENCE = Difference(
    technique=("", "tcp.timeout"),
    extent=("partial", "full"),
    targets_added=("a/b",),
    targets_removed=("a/c",),
    asns_added=(2,),
    asns_removed=(1,),
)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (Change(round=1, kind=ChangeKind.OPENED, technique="tcp.timeout"), "tcp.timeout"),
        (Change(round=1, kind=ChangeKind.OPENED), ""),
        (
            Change(round=1, kind=ChangeKind.CHANGED, difference=DIFFERENCE),
            "unknown -> tcp.timeout, partial -> full, +a/b, -a/c, +AS2, -AS1",
        ),
        (Change(round=1, kind=ChangeKind.LIKELY), ""),
        (Change(round=1, kind=ChangeKind.LIKELY, divided=True), "network_divided"),
        (
            Change(round=1, kind=ChangeKind.CLOSED),
            "vantages that saw it reach the service",
        ),
        (Change(round=1, kind=ChangeKind.RETRACTED, cause=ClosedGate.SERVICE_DOWN), "service_down"),
        (Change(round=1, kind=ChangeKind.RETRACTED, cause=BY_OPERATOR), "operator"),
        (Change(round=1, kind=ChangeKind.CLEARING), ""),
    ],
)
def test_the_note_of_a_change_is_one_line(change: Change, note: str) -> None:
    assert forms.change_note(change) == note


def test_where_addresses_that_fail_inside_answered() -> None:
    event = world.events()[0]
    answers = (
        Answer("192.0.2.1", "NL", 1136, world.BLOCKED_SINCE, True),
        Answer("192.0.2.1", "FR", 3215, world.BLOCKED_SINCE + 1000),
    )
    networks = tuple(replace(n, contrasts=Contrasts(answers=answers)) for n in event.networks)
    form = forms.event_form(replace(event, networks=networks))
    assert [(told["country"], told["role"]) for told in form["path_proof"]] == [
        ("FR", "vantage"),
        ("NL", "control"),
    ]
    assert form["path_proof"][1]["at"] == forms.rfc3339(world.BLOCKED_SINCE)
    assert forms.event_form(event)["path_proof"] == []
    (row,) = read(as_csv("events", [form]))
    assert row["path_proof"].startswith("192.0.2.1 FR 3215 vantage 2027")
