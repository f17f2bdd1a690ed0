"""In which form a state is saved, and which of the last ones can be gone back to."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState, encode
from monitor.detection.events.state_change import restored
from monitor.detector.saved_states import RECENT_STATES, SavedStates
from tests.monitor.detection.worlds import INTERVAL, POLICY, START, fact, ok, vantages

PEOPLE = vantages(10)


def folded(turns: Sequence[Collection[int]]) -> list[ServiceState]:
    """The states after rounds in which these of the vantages measured, after one of all."""
    states = [initial("wechat")]
    for number, turn in enumerate([range(len(PEOPLE)), *turns]):
        at = START + number * INTERVAL
        facts = [fact(PEOPLE[index], at, ok()) for index in turn]
        states.append(step(states[-1], at, facts, POLICY)[0])
    return states


def save_all(states: Sequence[ServiceState]) -> tuple[SavedStates, str]:
    """Save each; `W` for each whole one and `c` for each change."""
    saved, forms = SavedStates(), ""
    for last, state in itertools.pairwise(states):
        part = saved.part(last, state)
        saved.saved(part, None)
        forms += "W" if part.is_whole else "c"
    return saved, forms


def test_a_change_is_saved_until_the_changes_are_as_large_as_the_whole() -> None:
    assert save_all(folded([[n % 10] for n in range(23)]))[1] == 2 * ("W" + 10 * "c") + "Wc"


def test_where_more_than_half_is_new_the_whole_is_saved() -> None:
    assert save_all(folded([range(6), range(6), range(5), range(5), range(5)]))[1] == "WWWccW"


def test_the_last_states_can_be_gone_back_to() -> None:
    states = folded([[n % 10] for n in range(23)])
    saved, _ = save_all(states)
    for state in states[-RECENT_STATES:]:
        parts = saved.before(state.round + 1)
        assert parts is not None
        assert encode(restored(parts)) == encode(state)
    assert saved.before(states[1].round + 1) is None


def test_what_was_folded_again_is_whole_and_what_was_said_of_later_rounds_is_gone() -> None:
    states = folded([[n] for n in range(6)])
    saved, _ = save_all(states)
    again = saved.part(states[-1], states[-1], refolded_after=states[3].round)
    assert again.is_whole
    saved.saved(again, states[3].round)
    for round, state in ((states[-1].round, states[3]), (states[-1].round + 1, states[-1])):
        parts = saved.before(round)
        assert parts is not None
        assert encode(restored(parts)) == encode(state)


def test_after_a_restart_the_first_is_whole() -> None:
    states = folded([[0], [1]])
    assert SavedStates().part(states[1], states[2]).is_whole
