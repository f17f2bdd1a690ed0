"""The life of an event: laws of its tables, and the walk through them."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from monitor.detection.events import life
from monitor.detection.events.life import (
    EVENT,
    SERIES,
    SURENESS,
    EventEvidence,
    Position,
    SeriesEvidence,
    Stage,
    rank_after,
    walk,
)
from monitor.detection.model import Change, ChangeKind, EventState, Tier
from tests.monitor.store.samples import event

ROWS = (*SERIES, *EVENT)
HELD = SeriesEvidence(agreeing=3, quorum=True, held=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.condition.__name__)
def test_each_condition_names_the_evidence_that_it_needs(row: life.StageTransition) -> None:
    assert row.needs.endswith(".")
    assert row.needs[0].isupper()


def test_each_condition_is_another() -> None:
    assert len({row.condition for row in ROWS}) == len(ROWS)


def test_each_stage_is_reached_and_only_ends_are_not_left() -> None:
    reached = {row.to for row in ROWS} | {Stage.OPEN}
    left = {stage for row in ROWS for stage in row.source}
    assert reached == set(Stage)
    assert set(Stage) - left == set(life.ENDED)


def test_each_kind_of_change_is_announced_but_a_change_of_detail() -> None:
    assert {row.announces for row in EVENT} == set(ChangeKind) - {ChangeKind.CHANGED}
    assert {row.announces for row in SERIES} == {None}


def test_what_is_decided_is_published_and_what_seems_to_be_is_not() -> None:
    assert set(ChangeKind) - life.PUBLISHED == {
        ChangeKind.CHANGED,
        ChangeKind.CLEARING,
        ChangeKind.AGAIN,
    }
    assert {ChangeKind.CLOSED, ChangeKind.RETRACTED} == life.FINAL


def test_an_event_never_becomes_less_sure() -> None:
    for sure, best, again in itertools.product(SURENESS, SURENESS, (False, True)):
        evidence = EventEvidence(sure=sure, best=best, reached_again=again, proven_wrong=again)
        position, _ = walk(EVENT, Position(sure), evidence)
        assert SURENESS.index(position.sure) >= SURENESS.index(sure)


@pytest.mark.parametrize(
    ("rank", "evidence", "after"),
    [
        pytest.param(0, SeriesEvidence(), 0, id="nothing"),
        pytest.param(0, SeriesEvidence(agreeing=1), 1, id="one vantage"),
        pytest.param(0, SeriesEvidence(quorum=True), 0, id="a quorum of none"),
        pytest.param(0, SeriesEvidence(agreeing=1, quorum=True), 2, id="a quorum at once"),
        pytest.param(1, SeriesEvidence(agreeing=2, part_agrees=True), 2, id="a part"),
        pytest.param(2, HELD, 3, id="a quorum that has held"),
        pytest.param(2, SeriesEvidence(agreeing=3, held=True), 2, id="no quorum any more"),
        pytest.param(3, SeriesEvidence(gate_closed=True), 3, id="a gate afterwards"),
        pytest.param(3, SeriesEvidence(lifted=True), 0, id="the end"),
        pytest.param(2, SeriesEvidence(event_wrong=True), 0, id="no block at all"),
    ],
)
def test_a_series_rises_with_its_evidence(rank: int, evidence: SeriesEvidence, after: int) -> None:
    assert rank_after(rank, evidence) == after


@pytest.mark.parametrize(
    "lack",
    [
        {"gate_closed": True},
        {"agreeing": 0},
        {"quorum": False},
        {"held": False},
        {"divided": True},
        {"others_fail": True},
        {"aftermath": True},
    ],
    ids=lambda lack: next(iter(lack)),
)
def test_nothing_is_confirmed_without_all_that_it_takes(lack: dict[str, int]) -> None:
    assert rank_after(2, replace(HELD, **lack)) == 2


BEGUN, CONFIRMED = Position(Stage.UNCONFIRMED), Position(Stage.CONFIRMED)


@pytest.mark.parametrize(
    ("before", "evidence", "after", "announced"),
    [
        pytest.param(Position(), {}, Position(), [], id="nothing"),
        pytest.param(
            Position(),
            {"best": Stage.CONFIRMED},
            CONFIRMED,
            ["opened", "confirmed"],
            id="confirmed at once",
        ),
        pytest.param(BEGUN, {"best": Stage.UNCONFIRMED}, BEGUN, [], id="no change"),
        pytest.param(
            BEGUN,
            {"best": Stage.LIKELY, "reached_again": True},
            Position(Stage.LIKELY, Stage.CLEARING),
            ["clearing", "likely"],
            id="clearing and likely",
        ),
        pytest.param(
            Position(Stage.LIKELY, Stage.CLEARING),
            {"best": Stage.LIKELY},
            Position(Stage.LIKELY, Stage.REOPENED),
            ["again"],
            id="reopened",
        ),
        pytest.param(
            Position(Stage.LIKELY, Stage.REOPENED),
            {"best": Stage.LIKELY, "reached_again": True},
            Position(Stage.LIKELY, Stage.CLEARING),
            ["clearing"],
            id="clearing again",
        ),
        pytest.param(
            CONFIRMED,
            {"best": Stage.LIKELY, "reached_again": True},
            Position(Stage.CONFIRMED, Stage.CLOSED),
            ["closed"],
            id="closed while a less sure series lasts",
        ),
        pytest.param(
            BEGUN,
            {"best": Stage.LIKELY, "proven_wrong": True},
            Position(Stage.UNCONFIRMED, Stage.RETRACTED),
            ["retracted"],
            id="retracted by a gate",
        ),
        pytest.param(
            CONFIRMED,
            {"best": Stage.CONFIRMED, "proven_wrong": True},
            CONFIRMED,
            [],
            id="what was confirmed stays",
        ),
        pytest.param(
            BEGUN,
            {"best": Stage.CONFIRMED, "proven_wrong": True},
            CONFIRMED,
            ["confirmed"],
            id="what is confirmed now stays",
        ),
        pytest.param(
            Position(Stage.CONFIRMED, Stage.CLEARING),
            {"best": Stage.CONFIRMED, "retracted_by_operator": True},
            Position(Stage.CONFIRMED, Stage.RETRACTED),
            ["retracted"],
            id="retracted by an operator",
        ),
    ],
)
def test_an_event_follows_its_series(
    before: Position, evidence: dict[str, Stage], after: Position, announced: list[str]
) -> None:
    position, taken = walk(EVENT, before, EventEvidence(sure=before.sure, **evidence))
    assert position == after
    assert [row.announces for row in taken] == announced


def test_nothing_follows_an_end() -> None:
    everything = EventEvidence(
        best=Stage.CONFIRMED, retracted_by_operator=True, proven_wrong=True, reached_again=True
    )
    for sure, course in itertools.product(SURENESS, life.ENDED):
        assert walk(EVENT, Position(sure, course), everything) == (Position(sure, course), [])


def test_an_event_tells_where_it_is() -> None:
    for tier, state in itertools.product(Tier, EventState):
        position = life.position_of(event("a", tier=tier, state=state, history=()))
        assert (life.tier_of(position), life.state_of(position)) == (tier, state)


def test_an_event_is_reopened_until_its_next_turn() -> None:
    kinds = [ChangeKind.OPENED, ChangeKind.CLEARING, ChangeKind.AGAIN, ChangeKind.CONFIRMED]
    history = tuple(Change(round=round, kind=kind) for round, kind in enumerate(kinds))
    reopened = event("a", history=history)
    assert life.position_of(reopened).course is Stage.REOPENED
    assert life.state_of(life.position_of(reopened)) is EventState.OPEN
    assert life.last_turn(reopened) == history[2]
    fresh = event("a", history=history[:1])
    assert life.position_of(fresh).course is Stage.OPEN
