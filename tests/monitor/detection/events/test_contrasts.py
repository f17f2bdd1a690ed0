"""What tells the cause of failures, counted over the failures of a block."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.contrasts import (
    ANSWERS,
    NAME_FAILS_ANYWHERE,
    SIGNS,
    of_failure,
    signs,
    together,
)
from monitor.detection.model import NO_CONTRASTS, NOT_KNOWN, Answer, Contrasts, Elsewhere, Fact
from tests.monitor.detection.worlds import BLACKHOLE, Verdict, blocked, fact, vantages

AT = 1_790_000_000_000


def answer(at: int = AT, address: str = "198.51.100.1", asn: int = 64999) -> Answer:
    return Answer(address, "NL", asn, at, True)


def failure(verdict: Verdict, elsewhere: Elsewhere = NOT_KNOWN) -> Fact:
    return replace(fact(vantages(1)[0], 0, verdict), elsewhere=elsewhere)


def test_a_failure_of_which_nothing_is_known_counts_as_a_failure_alone() -> None:
    assert of_failure(failure(blocked())) == Contrasts(failures=1)


def test_an_answer_elsewhere_outweighs_another_address_that_is_dead() -> None:
    both = of_failure(failure(blocked(), Elsewhere((answer(),), dead=1)))
    assert (both.answered, both.dead, both.answers) == (1, 0, (answer(),))
    assert of_failure(failure(blocked(), Elsewhere(dead=2))).dead == 1


def test_the_name_at_our_own_host_and_the_family_are_read_from_the_evidence() -> None:
    named = replace(blocked(), evidence=(NAME_FAILS_ANYWHERE, "partial:ipv6"))
    counts = of_failure(failure(named))
    assert (counts.named, counts.ipv6, counts.ipv4) == (1, 1, 0)
    assert of_failure(failure(replace(BLACKHOLE, evidence=("partial:ipv4",)))).ipv4 == 1


def test_counts_add_up_and_the_newest_answers_of_each_place_are_kept() -> None:
    assert together([]) == NO_CONTRASTS
    older, newer = answer(AT), answer(AT + 1)
    one = Contrasts(failures=2, answered=1, answers=(older,))
    both = together([one, Contrasts(failures=3, answered=2, named=1, answers=(newer,))])
    assert both == Contrasts(failures=5, answered=3, named=1, answers=(newer,))
    many = Contrasts(answers=tuple(answer(AT + n, asn=n) for n in range(9)))
    assert [each.asn for each in together([many]).answers] == list(range(8, 8 - ANSWERS, -1))


@pytest.mark.parametrize(
    ("evidence", "counted"),
    [
        (("sooner_than_server",), {"sooner"}),
        (("before_server",), set()),
        (("before_server", "hops_before_server"), {"before"}),
        (("made_up", "others_answer"), {"forged", "others_answer"}),
        (("blockpage:ru.tspu",), {"forged"}),
        (("blockpage:ru.tspu", "blockpage_abroad"), set()),
        (("denied_without_zone", "local_resolver"), {"zoneless", "at_home"}),
        (("denied_without_zone", "local_resolver", "zones_kept"), {"zoneless"}),
        (("other_port_fails",), {"other_port"}),
        (("partial:port",), {"port"}),
        (("other_port_fails", "partial:port"), {"port"}),
        (("denied_without_zone", "public_resolver"), {"zoneless", "public"}),
    ],
)
def test_signs_of_the_way_are_read_from_the_evidence(
    evidence: tuple[str, ...], counted: set[str]
) -> None:
    counts = of_failure(failure(replace(blocked(), evidence=evidence)))
    signs_of = ("sooner", "before", "forged", "zoneless", "others_answer", "at_home")
    signs_of += ("port", "other_port", "public")
    assert {name for name in signs_of if getattr(counts, name)} == counted


@pytest.mark.parametrize("sign", SIGNS)
def test_a_vantage_shows_a_sign_in_most_failures_but_a_hop_is_looked_for_once(sign: str) -> None:
    field = {"nearer": "sooner", "server_beyond": "before"}.get(sign, sign)
    shown = SIGNS[sign]
    assert shown(Contrasts(failures=9, **{field: 5}))
    assert shown(Contrasts(failures=9, **{field: 4})) is (sign == "server_beyond")
    assert not shown(Contrasts(failures=9))


def test_owners_are_counted_who_show_a_sign_and_who_might() -> None:
    near, far = Contrasts(failures=4, sooner=4), Contrasts(failures=4)
    owned = [("a", near), ("a", near), ("b", near), ("c", far)]
    assert signs(owned, {"a", "b", "c"}) == (("nearer", 2, 0, 3),)
    assert signs(owned, {"a"}) == (("nearer", 1, 1, 3),)
    assert signs([("a", far)], {"a"}) == ()


def test_what_other_resolvers_give_is_counted_where_it_was_compared() -> None:
    counted = [
        of_failure(replace(failure(BLACKHOLE), others_work=works)) for works in (True, False, None)
    ]
    assert [(counts.moved, counts.given) for counts in counted] == [(1, 0), (0, 1), (0, 0)]


@pytest.mark.parametrize("sign", ["zoneless", "forged", "others_answer"])
def test_a_public_resolver_tells_nothing_of_the_network(sign: str) -> None:
    carrier = Contrasts(failures=4, **{sign: 4})
    public = replace(carrier, public=4)
    assert signs([("a", carrier), ("b", public)], {"a", "b"}) == ((sign, 1, 0, 1),)
    assert signs([("a", public)], {"a"}) == ()
    now_and_then = replace(carrier, public=1)
    assert signs([("a", now_and_then)], {"a"}) == ((sign, 1, 0, 1),)


def test_a_resolver_at_home_tells_nothing_of_zones() -> None:
    carrier = Contrasts(failures=4, zoneless=4)
    home = replace(carrier, at_home=4)
    assert signs([("a", carrier), ("b", home)], {"a", "b"}) == (("zoneless", 1, 0, 1),)
    some = [("a", carrier), ("b", replace(carrier, zoneless=1))]
    assert signs(some, {"a", "b"}) == (("zoneless", 1, 0, 2),)
    assert signs([("a", home)], {"a"}) == ()
