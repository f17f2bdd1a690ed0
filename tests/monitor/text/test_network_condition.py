"""Sentences about the condition of a network."""

from __future__ import annotations

import pytest

from monitor.detection.network_condition import Condition, NetworkCondition, Word
from monitor.text.network_condition import sentence

ONSET = 1_777_882_200_000


def say(condition: Condition, **witnesses: int) -> str:
    counts = dict.fromkeys(Word, 0) | {Word(name): n for name, n in witnesses.items()}
    onset = ONSET if condition is Condition.UNHEARD else None
    return sentence(NetworkCondition(condition=condition, onset=onset, witnesses=counts), "AS1")


@pytest.mark.parametrize(
    ("text", "condition", "witnesses"),
    [
        ("", Condition.OK, {"heard": 3, "no_word": 1}),
        ("", Condition.UNKNOWN, {}),
        (
            "The monitor hears no probe anywhere, so this network's present state is unknown.",
            Condition.UNKNOWN,
            {"no_word": 2},
        ),
        ("AS1 is offline, as 1 vantage there measured.", Condition.OFFLINE, {"offline": 1}),
        (
            "No word from AS1 since 2026-05-04 08:10:00 UTC: 3 vantages stopped reporting. "
            "Whether the network is offline, has no way to the monitor, or the machines are off is "
            "not known.",
            Condition.UNHEARD,
            {"no_word": 3},
        ),
        (
            "No word from AS1 since 2026-05-04 08:10:00 UTC: 3 vantages stopped reporting. "
            "2 of them had told that ways to the monitor fail there, so the monitor itself may "
            "be blocked.",
            Condition.UNHEARD,
            {"no_word": 1, "ways_fail": 2},
        ),
        (
            "No word from AS1 since 2026-05-04 08:10:00 UTC: 9 vantages stopped reporting. "
            "1 vantage there reports, so the network as a whole is not offline.",
            Condition.UNHEARD,
            {"no_word": 7, "ways_fail": 2, "heard": 1},
        ),
    ],
)
def test_sentence(text: str, condition: Condition, witnesses: dict[str, int]) -> None:
    assert say(condition, **witnesses) == text


def test_what_was_delivered_afterwards_is_said_where_a_network_is_heard_again() -> None:
    here = NetworkCondition(
        condition=Condition.OK,
        witnesses={Word.HEARD: 3},
        delivered_afterwards=2,
        longest_delay=2 * 3_600_000,
    )
    assert sentence(here, "AS1") == (
        "Delivered afterwards: 2 vantages in AS1 sent up to 2 h later what they had measured while "
        "the monitor did not hear them."
    )
