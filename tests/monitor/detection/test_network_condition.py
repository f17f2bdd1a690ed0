"""The condition of a network, from what its vantages told last."""

from __future__ import annotations

import itertools

import pytest

from monitor.detection import network_condition as subject
from monitor.detection.model import Tier
from monitor.detection.network_condition import Condition, LastKnown, NetworkCondition, Word
from monitor.detection.policy import Policy

POLICY = Policy()
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_800_000_000_000
_owners = itertools.count()


def vantage(
    away: int | None = 0,
    *,
    owner: str = "",
    offline: bool = False,
    state: str = "heartbeat",
    ways_fail: bool = False,
    delay: int = 0,
) -> LastKnown:
    """Heard `away` milliseconds ago, of an owner of its own."""
    return LastKnown(
        owner=owner or f"o-{next(_owners)}",
        last_seen=None if away is None else NOW - away,
        offline=offline,
        state=state,
        ways_fail=ways_fail,
        longest_delay=delay,
    )


def judge(*vantages: LastKnown, anybody_heard: bool = True) -> NetworkCondition:
    return subject.network_condition(vantages, NOW, POLICY, anybody_heard=anybody_heard)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (vantage(), Word.HEARD),
        (vantage(15 * MINUTE), Word.HEARD),
        (vantage(ways_fail=True), Word.HEARD),
        (vantage(offline=True), Word.OFFLINE),
        (vantage(offline=True, ways_fail=True), Word.OFFLINE),
        (vantage(16 * MINUTE), Word.NO_WORD),
        (vantage(16 * MINUTE, state="lost"), Word.NO_WORD),
        (vantage(16 * MINUTE, state=""), Word.NO_WORD),
        (vantage(HOUR, ways_fail=True), Word.WAYS_FAIL),
        (vantage(HOUR, ways_fail=True, state="lost"), Word.WAYS_FAIL),
        (vantage(HOUR, offline=True), Word.OFFLINE),
        (vantage(HOUR, state="goodbye"), None),
        (vantage(HOUR, state="goodbye", ways_fail=True), None),
        (vantage(8 * DAY), None),
        (vantage(8 * DAY, ways_fail=True), None),
        (vantage(None), None),
    ],
)
def test_word_of_a_vantage(known: LastKnown, told: Word | None) -> None:
    assert subject.word(known, NOW, POLICY) == told


def test_table_has_a_word_for_every_state() -> None:
    assert set(subject._WORDS) == set(itertools.product((True, False), repeat=3))
    assert set(subject._TELLING) == set(Condition)


def test_network_whose_vantages_report_is_ok() -> None:
    here = judge(vantage(), vantage(), vantage())
    assert (here.condition, here.onset, here.tier) == (Condition.OK, None, Tier.CONFIRMED)


def test_silence_is_unheard_and_never_offline() -> None:
    here = judge(*(vantage(HOUR) for _ in range(7)))
    assert here.condition is Condition.UNHEARD
    assert here.witnesses == {Word.HEARD: 0, Word.OFFLINE: 0, Word.WAYS_FAIL: 0, Word.NO_WORD: 7}


def test_offline_is_what_most_vantages_measured_themselves() -> None:
    assert judge(*(vantage(offline=True) for _ in range(4))).condition is Condition.OFFLINE
    mixed = judge(vantage(HOUR, offline=True), vantage(HOUR), vantage(HOUR), vantage(HOUR))
    assert mixed.condition is Condition.UNHEARD
    assert mixed.witnesses[Word.OFFLINE] == 1


def test_what_was_told_of_failing_ways_is_kept_beside_the_silence() -> None:
    here = judge(vantage(HOUR, ways_fail=True), vantage(HOUR, ways_fail=True), vantage(HOUR))
    assert here.condition is Condition.UNHEARD
    assert (here.witnesses[Word.WAYS_FAIL], here.witnesses[Word.NO_WORD]) == (2, 1)


def test_a_few_that_report_show_that_the_network_works() -> None:
    silent = [vantage(HOUR) for _ in range(4)]
    assert judge(*silent, vantage()).condition is Condition.OK
    assert judge(*silent, vantage(HOUR), vantage()).condition is Condition.UNHEARD


def test_machines_of_one_owner_do_not_outvote_the_others() -> None:
    silent = [vantage(HOUR, owner="laboratory") for _ in range(20)]
    here = judge(*silent, vantage())
    assert here.condition is Condition.OK
    assert here.witnesses[Word.NO_WORD] == POLICY.quorum.owner_vantages
    # An owner with one machine that reports is heard.
    assert judge(*silent, vantage(owner="laboratory")).condition is Condition.OK


def test_vantages_that_their_owners_stopped_say_nothing() -> None:
    assert judge(vantage(HOUR, state="goodbye"), vantage()).condition is Condition.OK
    stopped = judge(vantage(HOUR, state="goodbye"), vantage(None), vantage(30 * DAY))
    assert (stopped.condition, stopped.onset) == (Condition.UNKNOWN, None)
    assert not any(stopped.witnesses.values())
    assert judge().condition is Condition.UNKNOWN


def test_monitor_that_hears_nobody_accuses_no_network() -> None:
    here = judge(*(vantage(HOUR) for _ in range(5)), anybody_heard=False)
    assert (here.condition, here.onset, here.tier) == (Condition.UNKNOWN, None, Tier.UNCONFIRMED)
    assert here.witnesses[Word.NO_WORD] == 5


def test_onset_is_when_so_many_had_stopped() -> None:
    assert judge(vantage(3 * HOUR), vantage(2 * HOUR), vantage(HOUR)).onset == NOW - HOUR
    # The ninth of ten makes it more than four fifths; the tenth follows later.
    staggered = [vantage(hours * HOUR) for hours in range(20, 10, -1)]
    assert judge(*staggered).onset == NOW - 12 * HOUR
    # A vantage that is offline by its own measurements is one of them.
    some = [vantage(offline=True), *(vantage(hours * HOUR) for hours in range(9, 0, -1))]
    assert judge(*some).onset == NOW - 2 * HOUR


@pytest.mark.parametrize(
    ("owners", "tier"),
    [
        (["a"], Tier.UNCONFIRMED),
        (["a", "a"], Tier.UNCONFIRMED),
        (["a", "b"], Tier.LIKELY),
        (["a", "b", "c"], Tier.CONFIRMED),
        (["a", "a", "b"], Tier.CONFIRMED),
    ],
)
def test_tier_rests_on_vantages_and_owners(owners: list[str], tier: Tier) -> None:
    assert judge(*(vantage(HOUR, owner=owner) for owner in owners)).tier is tier


def test_no_order_of_vantages_changes_the_judgement() -> None:
    same = [vantage(hours * HOUR, owner="a") for hours in (1, 2, 3)]
    vantages = [*same, vantage(HOUR, ways_fail=True, owner="b"), vantage(4 * HOUR)]
    assert len({str(judge(*order)) for order in itertools.permutations(vantages)}) == 1


def test_what_most_delivered_afterwards_is_a_word_of_a_network_that_is_heard() -> None:
    late, timely = vantage(delay=3 * HOUR), vantage(delay=15 * MINUTE)
    here = judge(late, vantage(delay=2 * HOUR), vantage(delay=HOUR))
    assert (here.condition, here.delivered_afterwards, here.longest_delay) == (
        Condition.OK,
        3,
        3 * HOUR,
    )
    assert judge(late, timely, timely).delivered_afterwards == 0, "one machine is no network"
    away = judge(*(vantage(HOUR, delay=3 * HOUR) for _ in range(3)))
    assert (away.condition, away.delivered_afterwards) == (Condition.UNHEARD, 0)
