"""Which published events name a measurement of this probe, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.model import EventState, Tier
from monitor.interop.forms import event_form
from probes import contributions
from probes.contributions import KEPT, MAX_BYTES, RECENT, Contribution, learn, lines, own_names
from probes.wire.measurement import measurement_id
from probes.words import LANGUAGES
from tests.monitor.store.samples import NOON, event
from tests.probes.delivery.test_spool import PROBE

OTHER, STRANGER = "p-ffffffffffffffff", measurement_id("p-ffffffffffffffff", "e", 7)
MINE = [measurement_id(PROBE, "e1", number) for number in range(1, 6)]


def own() -> frozenset[str]:
    return own_names(PROBE, "e1", 5)


def published(*witnesses: str, **changes: Any) -> bytes:
    """An event as the monitor publishes it."""
    changed = {"tier": Tier.CONFIRMED, "agreeing": 3, "witnesses": witnesses, **changes}
    return json.dumps(event_form(event(**changed))).encode()


def learnt(*bodies: bytes) -> tuple[Contribution, ...]:
    kept: tuple[Contribution, ...] = ()
    for body in bodies:
        kept = learn(kept, body, own)
    return kept


def test_the_oldest_witness_was_first_and_another_is_one_of_several() -> None:
    (first,) = learnt(published(MINE[2], STRANGER))
    assert (first.first, first.vantages, first.service, first.country) == (True, 3, "wechat", "RU")
    (other,) = learnt(published(STRANGER, MINE[4]))
    assert (other.first, other.vantages) == (False, 3)
    names = {"wechat": "WeChat"}
    assert lines([first], names) == [
        f"WeChat (RU), since {first.began}: a confirmed block, seen by your probe first"
    ]
    assert lines([other], {}) == [
        f"wechat (RU), since {other.began}: a confirmed block; your probe is one of 3 that saw it"
    ]


@pytest.mark.parametrize(
    "body",
    [
        published(STRANGER),
        published(),
        published(MINE[0], tier=Tier.LIKELY),
        published(MINE[0], tier=Tier.UNCONFIRMED),
        published(MINE[0], state=EventState.RETRACTED),
        published(measurement_id(PROBE, "another spool", 1)),
        published(measurement_id(OTHER, "e1", 1)),
    ],
    ids=["others", "nobody", "likely", "unconfirmed", "retracted", "spool", "probe"],
)
def test_what_is_not_known_is_not_said(body: bytes) -> None:
    assert learnt(body) == ()


def test_one_of_how_many_is_not_said_of_one() -> None:
    assert lines(learnt(published(STRANGER, MINE[0], agreeing=1)), {}) == []


def test_an_event_goes_on_ends_and_stays_known() -> None:
    began = published(STRANGER, MINE[0])
    more = published(STRANGER, MINE[0], agreeing=5)
    over = published(STRANGER, state=EventState.CLOSED, closed=NOON + 86_400_000, agreeing=0)
    (kept,) = learnt(began, more, over, b"")
    assert kept.vantages == 5
    assert kept.ended > kept.began
    (line,) = lines([kept], {})
    assert f"{kept.began} to {kept.ended}" in line
    over = published(MINE[0], state=EventState.CLOSED, closed=NOON + 60_000)
    assert f", on {kept.began}: " in lines(learnt(over), {})[0]
    assert learnt(began, published(MINE[0], state=EventState.RETRACTED)) == ()
    (later,) = learnt(began, published(MINE[0], STRANGER))
    assert later.first, "a measurement that arrived late was older"


def test_events_of_other_places_do_not_replace_each_other() -> None:
    bodies = [published(MINE[0], id=f"{number:016x}") for number in range(KEPT + 3)]
    kept = learnt(*bodies)
    assert [each.event for each in kept] == [f"{number:016x}" for number in range(3, KEPT + 3)]
    assert len(lines(kept, {})) == KEPT


@pytest.mark.parametrize(
    "change",
    [
        {"service": "<script>"},
        {"service": "a" * 65},
        {"country": "ru"},
        {"onset": "yesterday"},
        {"onset": "2026-11-30T12:00:00"},
        {"vantages": {"agreeing": -1}},
        {"witnesses": [MINE[0]] * 101},
        {"id": "\u202e"},
        {"padding": "x" * MAX_BYTES},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_hostile_event_tells_nothing(change: dict[str, Any]) -> None:
    form = json.loads(published(MINE[0]))
    assert learnt(json.dumps(form).encode())
    assert learnt(json.dumps({**form, **change}).encode()) == ()


@given(st.binary(max_size=200))
def test_any_bytes_tell_nothing(body: bytes) -> None:
    assert learnt(body) == ()


def test_only_the_last_measurements_are_compared() -> None:
    names = own_names(PROBE, "e1", RECENT + 5)
    assert len(names) == RECENT
    assert measurement_id(PROBE, "e1", 5) not in names
    assert measurement_id(PROBE, "e1", 6) in names
    assert own_names(PROBE, "e1", 0) == frozenset()


def test_names_are_not_made_where_nobody_is_named() -> None:
    def never() -> frozenset[str]:
        raise AssertionError

    assert learn((), published(), never) == ()
    assert learn((), published(MINE[0], tier=Tier.LIKELY), never) == ()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_how_many(language: str) -> None:
    kept = learnt(published(STRANGER, MINE[0], agreeing=17))
    assert "17" in lines(kept, {}, language)[0]
    assert contributions.lines((), {}, language) == []
