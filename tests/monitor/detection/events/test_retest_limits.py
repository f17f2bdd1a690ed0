"""What was asked for lately, and how much is left."""

from __future__ import annotations

from monitor.detection.events.retest_limits import (
    NOTHING,
    Asked,
    AskLimits,
    OpenQuestion,
    Place,
    Question,
    allowed,
    for_beginnings,
    for_ends,
    remembered,
)
from tests.monitor.detection.worlds import POLICY

NET: Place = ("RU", 64501, "wechat/messaging")
MINUTE = 60_000
LIMITS = AskLimits(most=4, pause=3 * MINUTE, asker_most=5)


def asked_minutely(*reasons: str, minutes: int = 60, whom: tuple[str, ...] = ("p-9",)) -> list[str]:
    """Who caused each request of a place that is open every minute."""
    asked, askers = NOTHING, list[str]()
    question: OpenQuestion = (NET, [(probe, 1) for probe in reasons], whom, False)
    for at in range(MINUTE, minutes * MINUTE + 1, MINUTE):
        chosen = allowed([question], asked, LIMITS, at, POLICY)
        asked = remembered(asked, chosen, at, POLICY)
        askers += [each.asker for each in chosen.values()]
    return askers


def test_what_was_asked_is_forgotten_after_the_window() -> None:
    asked = remembered(NOTHING, {NET: Question("p")}, 1_000, POLICY)
    assert asked == Asked({NET: (1_000,)}, {"p": ((1_000, NET),)})
    hour, day = (
        1000 * POLICY.retests.retest_window_seconds,
        1000 * POLICY.retests.retest_asker_seconds,
    )
    assert remembered(asked, {}, 1_000 + hour, POLICY) == Asked({}, {"p": ((1_000, NET),)})
    assert remembered(asked, {}, 1_000 + day, POLICY) == NOTHING


def test_one_vantage_causes_half_of_an_hour_and_others_the_rest() -> None:
    assert asked_minutely("p-0") == ["p-0"] * 2
    assert asked_minutely("p-0", "p-1", "p-2") == ["p-0"] * 2 + ["p-1"] * 2


def test_one_vantage_causes_so_many_in_a_day() -> None:
    assert asked_minutely("p-0", minutes=20 * 60) == ["p-0"] * LIMITS.asker_most


def test_a_place_is_asked_again_after_a_pause() -> None:
    question: OpenQuestion = (NET, [("p-0", 1)], (), True)
    asked = Asked({NET: (MINUTE,)})
    assert not allowed([question], asked, LIMITS, 4 * MINUTE - 1, POLICY)
    again = allowed([question], asked, LIMITS, 4 * MINUTE, POLICY)
    assert again == {NET: Question("p-0", (), True)}


def test_all_are_asked_at_once_after_a_few() -> None:
    few, everybody = (NET, [("p-0", 1)], ("p-9",), False), (NET, [("p-0", 1)], (), False)
    asked = remembered(NOTHING, {NET: Question("p-0", ("p-9",))}, MINUTE, POLICY)
    assert not allowed([few], asked, LIMITS, MINUTE + 1, POLICY)
    assert allowed([everybody], asked, LIMITS, MINUTE + 1, POLICY)


def test_beginnings_wait_for_the_residual_time_and_ends_for_less() -> None:
    begun, ended = for_beginnings(POLICY), for_ends(POLICY)
    assert begun.pause >= 1000 * POLICY.rounds.residual_seconds > ended.pause
    assert ended.most > begun.most
