"""How votes become a tier."""

from __future__ import annotations

import pytest

from monitor.detection.events import quorum
from monitor.detection.events.quorum import tally
from monitor.detection.events.series import (
    alarmed,
)
from monitor.detection.model import Verdict
from tests.monitor.detection.events.test_series import network, rise, say
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    POLICY,
    START,
    blocked,
    ok,
    vantages,
)


@pytest.mark.parametrize("other", [ok(), BLACKHOLE])
def test_what_reads_a_name_lets_the_steps_before_it_pass(other: Verdict) -> None:
    """Failures at the connection, in other rounds than those with the signature, say that no name
    is read: the vantages agree with a block, and bear no signature."""
    place = network()
    for n, said in enumerate((blocked(), other, other, blocked(), other, other, blocked())):
        say(place, n, said, said)
    of_names = other is not BLACKHOLE
    at = START + 6 * INTERVAL
    assert tally(place, "tls", at, POLICY).signature is of_names
    assert quorum.has_signature(place, "tls", "p-ru64501-0", POLICY.evidence) is of_names
    assert tally(place, "tls", at, POLICY).likely


def test_tiers_one_two_and_two_owners_that_hold() -> None:
    place = network()
    say(place, 0, ok(), ok(), ok())
    say(place, 1, blocked(), ok(), ok())
    say(place, 2, blocked(), ok(), ok())
    assert rise(place, 2) == 1
    assert alarmed(place.layers["tls"]) == ("p-ru64501-0",)
    say(place, 3, blocked(), blocked(), ok())
    say(place, 4, blocked(), blocked(), ok())
    assert rise(place, 4) == 2
    assert place.layers["tls"].likely_since == START + 4 * INTERVAL
    say(place, 5, blocked(), ok(), ok())
    assert rise(place, 5) == 2, "the failures of the other are out of date"
    say(place, 6, blocked(), blocked(), ok())
    assert rise(place, 6) == 3


def test_a_break_in_the_quorum_starts_the_hold_again_and_the_tier_stays() -> None:
    place = network()
    for n in range(2):
        say(place, n, blocked(), blocked())
    rise(place, 1)
    failing_since = place.layers["tls"].likely_since
    say(place, 2, blocked(), DOWN)
    assert rise(place, 2) == 2
    assert place.layers["tls"].likely_since == failing_since > 0, "one stray failure of the control"
    for n in (3, 4):
        say(place, n, blocked(), DOWN)
    assert rise(place, 4) == 2
    assert place.layers["tls"].likely_since == 0


def test_signatures_of_two_owners_make_a_quorum_sooner_than_bare_failures() -> None:
    for verdict, likely in ((blocked(), True), (BLACKHOLE, False)):
        place = network()
        say(place, 0, verdict, ok())
        say(place, 1, verdict, verdict)
        assert tally(place, verdict.layer or "", START + INTERVAL, POLICY).likely is likely


def test_an_inhibited_series_is_not_promoted() -> None:
    place = network()
    for n in range(3):
        say(place, n, blocked(), blocked())
    assert rise(place, 3, inhibited=True) == 0


def test_quorum_is_a_share_of_those_who_vote_and_were_heard() -> None:
    place, people = network(), vantages(9)
    for n in range(3):
        say(place, n, *[blocked()] * 3, *[ok()] * 6, people=people)
    found = tally(place, "tls", START + 2 * INTERVAL, POLICY)
    assert (len(found.agreeing), len(found.voting), found.likely) == (3, 9, False)
    # Four of the healthy ones fall silent; three of five are enough.
    for n in range(3, 9):
        say(place, n, *[blocked()] * 3, *[ok()] * 2, people=people[:5])
    later = tally(place, "tls", START + 8 * INTERVAL, POLICY)
    assert (len(later.voting), later.likely) == (5, True)


def test_typed_needs_two_owners_with_signatures() -> None:
    place = network()
    for n in range(3):
        say(place, n, blocked(), blocked(weight=0))
    found = tally(place, "tls", START + 2 * INTERVAL, POLICY)
    assert (len(found.owners), found.signature) == (2, False)


def test_one_signature_each_of_enough_owners_is_a_quorum_and_no_confirmation() -> None:
    place = network()
    say(place, 0, *[ok()] * 3)
    say(place, 1, blocked(), blocked(), ok())
    found = tally(place, "tls", START + INTERVAL, POLICY)
    assert (len(found.agreeing), found.likely, found.signature) == (2, True, False)
    place, people = network(), vantages(5)
    say(place, 1, blocked(), blocked(), *[ok()] * 3, people=people)
    found = tally(place, "tls", START + INTERVAL, POLICY)
    assert (found.agreeing, found.likely) == ((), False), "of five it takes three owners"
