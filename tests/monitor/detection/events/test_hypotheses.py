"""Explanations other than a block: what fits them, and that nothing that fits one is a page."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.events import hypotheses
from monitor.detection.events.confidence import DOUBTED_MOST, is_doubted, probability
from monitor.detection.events.hypotheses import AT_ONCE_MS, LONGEST_DENIAL_MS, fitting
from monitor.detection.layers.dns_origin import MADE_UP, OTHERS_ANSWER
from monitor.detection.model import VOUCHED, Contrasts, NetworkEvidence, Tier, Verdict
from monitor.detection.policy import Policy
from tests.monitor.detection.events.test_confidence import AT, BY_NAME, PROVEN, event, network
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    INJECTED,
    Vantage,
    World,
    blocked,
    in_network,
    ok,
    vantages,
)

SILENT = {"signature": False, "technique": "tcp.timeout", "layer": "tcp"}
DENIED = {"technique": "dns.nxdomain", "layer": "dns"}
LATE = AT + LONGEST_DENIAL_MS
ELSEWHERE = {"technique": "dns.injection.other", "layer": "dns"}
NEAR = {"signs": (("nearer", 3, 0, 3), ("server_beyond", 2, 0, 3))}
REFUSED = {"contrasts": PROVEN}
REFUSED_BY_ALL = {"technique": "tls.alert.other", "signature": False, "agreeing": 5, "voting": 5}


def fits(*networks: NetworkEvidence) -> set[str]:
    return set(fitting(event(*networks)))


def test_a_signed_block_and_a_silent_one_with_an_answer_elsewhere_have_no_other_explanation() -> (
    None
):
    assert not fits(network(contrasts=Contrasts(failures=9)))
    assert not fits(network(**SILENT, contrasts=PROVEN))


@pytest.mark.parametrize(
    ("remark", "more"),
    [
        ("path_unknown", SILENT | {"contrasts": replace(PROVEN, answered=0)}),
        ("path_unknown", SILENT | {"contrasts": replace(PROVEN, answered=1)}),
        ("dead_elsewhere", {"contrasts": Contrasts(failures=9, answered=2, dead=6)}),
        ("partial_ipv6", {"contrasts": Contrasts(failures=9, answered=9, ipv6=8)}),
        ("partial_ipv4", {"contrasts": Contrasts(failures=9, answered=9, ipv4=8)}),
        ("partial_port", SILENT | {"contrasts": replace(PROVEN, port=PROVEN.failures)}),
        ("one_port", SILENT | {"contrasts": replace(PROVEN, other_port=0)}),
        ("one_port", SILENT | {"contrasts": replace(PROVEN, other_port=5, port=5)}),
        ("one_port", REFUSED_BY_ALL | {"contrasts": replace(PROVEN, other_port=0)}),
        ("one_port", SILENT | {"technique": "quic.timeout", "contrasts": Contrasts(9, 9, given=9)}),
        ("answers_unknown", SILENT | {"contrasts": replace(PROVEN, given=0)}),
        ("answers_unknown", SILENT | {"contrasts": replace(PROVEN, given=5, moved=5)}),
        ("answers_unknown", REFUSED_BY_ALL | {"contrasts": replace(PROVEN, given=5)}),
        ("moves_edges", SILENT | {"contrasts": replace(PROVEN, given=0, moved=8)}),
        (
            "moves_edges",
            SILENT
            | {
                "technique": "tcp.reset",
                "contrasts": replace(PROVEN, given=2, moved=6),
                "signs": (("server_beyond", 2, 0, 3),),
            },
        ),
        ("public_resolver", DENIED | {"seen": LATE, "contrasts": Contrasts(9, public=5)}),
        ("public_resolver", {"technique": "dns.refused", "contrasts": Contrasts(9, public=9)}),
        ("overloaded", SILENT | {"contrasts": PROVEN, "dense_per_mille": 500}),
        ("refused_by_service", {"technique": "tcp.refused", "contrasts": PROVEN}),
        (
            "refused_by_service",
            {"technique": "tcp.refused", "agreeing": 2, "voting": 5, "contrasts": PROVEN}
            | {"dense_per_mille": 890},
        ),
        ("refused_by_service", REFUSED | {"technique": "tls.reset.other"}),
        ("old_denial", DENIED),
        ("old_denial", DENIED | {"technique": "dns.empty"}),
        ("old_denial", DENIED | {"signs": (("zoneless", 1, 0, 3), ("forged", 2, 0, 5))}),
        ("old_denial", DENIED | {"signs": (("zoneless", 0, 2, 2), ("others_answer", 3, 0, 3))}),
        ("validation_fails", {"technique": "dns.servfail", "signature": False}),
        ("one_release", {"one_release": True}),
        ("spares_some", {"voting": 4, "signs": BY_NAME}),
        ("spares_some", {"voting": 5, "new_deniers": 1}),
        ("spares_some", {"spared": 1}),
        ("moves_between_countries", {"countries_alike": 2}),
        ("moves_between_countries", {"countries_alike": 2, "signs": (("nearer", 3, 0, 3),)}),
        ("taken_over", ELSEWHERE | {"seen": LATE}),
        ("shields_servers", {"contrasts": Contrasts(failures=9, ours_passes=5)}),
        ("shields_servers", NEAR | {"contrasts": Contrasts(failures=9, ours_passes=9)}),
        ("new_vantages", {"known_owners": 0, "new_owners": 3}),
        ("new_vantages", {"known_owners": 0, "new_owners": 9}),
        ("shared_line", {"known_owners": 2}),
        ("shared_line", {"known_owners": 1, "new_owners": 1, "signs": BY_NAME}),
        ("shared_line", {"known_owners": 2, "vouched_owners": 1}),
    ],
)
def test_what_fits(remark: str, more: dict[str, Any]) -> None:
    assert fits(network(**more)) == {remark}


@pytest.mark.parametrize(
    "more",
    [
        {"known_owners": 2, "vouched_owners": 2},
        {"known_owners": 1, "new_owners": 2},
        SILENT | {"contrasts": PROVEN, "dense_per_mille": 950},
        {"technique": "tcp.refused", "agreeing": 5, "voting": 5, "contrasts": PROVEN},
        {"contrasts": Contrasts(failures=9, answered=9, ipv6=4)},
        DENIED | {"signs": (("zoneless", 2, 0, 3),)},
        DENIED | {"signs": (("forged", 1, 1, 4),)},
        ELSEWHERE | {"signs": (("forged", 2, 0, 3),)},
        ELSEWHERE | {"technique": "dns.injection.bogon"},
        NEAR | {"contrasts": Contrasts(failures=9, ours_passes=4)},
        {"signs": BY_NAME, "contrasts": Contrasts(failures=9, ours_passes=9)},
        DENIED | {"signature": False, "seen": AT + LONGEST_DENIAL_MS},
        {"technique": "dns.refused"},
        {"countries_alike": 1},
        {"agreeing": 4, "voting": 5},
        {"agreeing": 4, "voting": 4, "spared": 1},
        {"voting": 5, "new_deniers": 2},
        {"voting": 5, "dense_per_mille": 899},
        {"agreeing": 2, "voting": 3, "silent": 2},
        SILENT | {"contrasts": replace(PROVEN, port=PROVEN.failures // 2)},
        SILENT | {"contrasts": replace(PROVEN, given=6, moved=4)},
        SILENT | {"contrasts": Contrasts(9), "signs": (("server_beyond", 2, 0, 3),)},
        {"contrasts": Contrasts(9, moved=9)},
        DENIED | {"seen": LATE, "contrasts": Contrasts(9, public=4)},
        DENIED | {"signs": (("zoneless", 2, 0, 2),), "contrasts": Contrasts(9, public=5)},
        {"contrasts": replace(PROVEN, port=PROVEN.failures)},
        {"countries_alike": 5, "signs": BY_NAME},
        REFUSED | {"technique": "tls.reset.other", "signs": (("nearer", 3, 0, 3),)},
        SILENT | {"signs": (("server_beyond", 2, 0, 3),)},
        REFUSED_BY_ALL | {"contrasts": PROVEN},
    ],
)
def test_what_does_not_fit(more: dict[str, Any]) -> None:
    assert not fits(network(**more))


def test_two_owners_of_one_network_may_share_a_line_and_those_of_two_networks_do_not() -> None:
    two = {"agreeing": 2, "voting": 2, "owners": 2, "known_owners": 2, "signs": BY_NAME}
    alone = event(network(**two))
    assert fitting(alone) == ("shared_line",)
    assert fitting(event(network(**two), replace(network(**two), target="wechat/chat"))), "one line"
    assert not fits(network(**two), network(asn=64502, **two))
    likely = network(asn=64502, tier=Tier.LIKELY, **two)
    assert not fits(network(**two), likely), "another network agrees"
    assert fits(network(**two), replace(likely, tier=Tier.UNCONFIRMED)) == {"shared_line"}


@pytest.mark.parametrize(("vouched", "paged"), [(0, False), (1, False), (2, True)])
def test_two_known_owners_of_one_network_page_where_the_operator_vouches_for_both(
    vouched: int, paged: bool
) -> None:
    known = World([]).round - 90 * 86_400_000
    two = [
        dataclasses.replace(who, enrolled=VOUCHED if n < vouched else known)
        for n, who in enumerate(vantages(2))
    ]
    world = World([*two, *vantages(3, "FR", 64503)]).quiet()
    forged = replace(INJECTED, evidence=(MADE_UP, OTHERS_ANSWER))
    world.run(60, in_network(64501, forged))
    assert world.only.tier is Tier.CONFIRMED
    assert ((probability(world.only) or 0) > DOUBTED_MOST) is paged


def test_resolvers_of_several_networks_may_keep_a_denial_as_well_as_that_of_one() -> None:
    assert fits(network(**DENIED)) == {"old_denial"}
    assert fits(network(**DENIED), network(asn=64502, **DENIED)) == {"old_denial"}
    long = DENIED | {"seen": AT + LONGEST_DENIAL_MS}
    assert not fits(network(**DENIED), network(asn=64502, **long)), "none keeps it for so long"
    zoneless = DENIED | {"signs": (("zoneless", 2, 0, 3),)}
    assert not fits(network(**DENIED), network(asn=64502, **zoneless)), "made up"


def test_networks_that_fall_silent_together_may_miss_servers_of_their_region() -> None:
    proven = SILENT | {"contrasts": PROVEN}
    later = network(asn=64502, **proven, onset=AT + AT_ONCE_MS)
    assert fits(network(**proven), later) == {"everywhere_at_once"}
    assert not fits(network(**proven), replace(later, onset=later.onset + 1))
    assert not fits(network(**proven)), "one network alone"
    assert not fits(network(), network(asn=64502)), "a signature"
    told = network(asn=64502, **proven, signs=(("nearer", 2, 0, 2),))
    assert not fits(network(**proven), told), "somebody on the way"
    paced = fitting(event(network(**proven), later, pace=2))
    assert "everywhere_at_once" not in paced, "minutes are those of the policy"


def test_one_vantage_that_failed_earlier_or_a_network_less_sure_makes_no_two_moments() -> None:
    proven = SILENT | {"contrasts": PROVEN}
    stray = network(**proven, onset=AT - 3 * AT_ONCE_MS, half_onset=AT)
    assert fits(stray, network(asn=64502, **proven)) == {"everywhere_at_once"}
    likely = network(asn=64502, **proven, tier=Tier.LIKELY)
    assert fits(network(**proven), likely) == {"everywhere_at_once"}, "it counts as a second one"
    assert not fits(network(**proven), replace(likely, tier=Tier.UNCONFIRMED))
    refused = replace(likely, technique="tcp.reset")
    assert not fits(network(**proven), refused), "a service refuses any number of networks"


@pytest.mark.parametrize(
    ("contrasts", "paged"),
    [
        (PROVEN, True),
        (replace(PROVEN, answered=0), False),
        (replace(PROVEN, answered=1, dead=8), False),
        (replace(PROVEN, other_port=0), False),
        (replace(PROVEN, port=9), False),
        (replace(PROVEN, given=1), False),
        (replace(PROVEN, given=1, moved=8), False),
    ],
    ids=["all", "nobody tried", "dead", "one port", "another port", "not asked", "moved"],
)
def test_what_was_compared_in_one_network_says_nothing_of_another(
    contrasts: Contrasts, paged: bool
) -> None:
    """The many failures of the first network would outweigh those of the second."""
    counts = ("failures", "answered", "other_port", "given")
    long = replace(PROVEN, **dict.fromkeys(counts, 100))
    first = network(**SILENT, contrasts=long)
    second = network(asn=64502, **SILENT, contrasts=contrasts, onset=AT + 60 * 60_000)
    assert not fits(first, second)
    said = event(first, second, held=120, against=("untyped",))
    assert ((probability(said) or 0) > DOUBTED_MOST) is paged


def test_moments_are_told_apart_as_far_as_they_are_known() -> None:
    def began(asn: int, *between: int) -> NetworkEvidence:
        minutes = tuple(AT + each * 60_000 for each in between)
        return network(asn=asn, **SILENT, contrasts=PROVEN, together_between=minutes)

    at_once = {"everywhere_at_once"}
    assert fits(began(64501, -5, 0), began(64502, 10, 15)) == at_once
    assert fits(began(64501, -5, 0), began(64502, 15, 90)) == at_once
    assert fits(began(64501, -300, 40), began(64502, -5, 0), began(64503, -5, 0)) == at_once
    assert fits(began(64501, -300, 100), began(64502, -200, 200)) == at_once, "neither is known"
    assert not fits(began(64501, -5, 0), began(64502, 16, 90))
    assert not fits(began(64501, -300, 100), began(64502, -5, 0), began(64503, 25, 30))


def test_what_servers_say_of_a_name_tells_of_no_number_of_networks() -> None:
    retired = {"technique": "tls.alert.sni", "agreeing": 5, "voting": 5, "contrasts": PROVEN}
    every = event(network(**retired), network(asn=64502, **retired))
    assert not every.against
    assert (probability(every) or 0) <= DOUBTED_MOST
    near = {"signs": (("nearer", 3, 0, 5),)}
    on_the_way = event(network(**retired, **near), network(asn=64502, **retired, **near))
    assert (probability(on_the_way) or 0) > DOUBTED_MOST, "somebody nearer than the server says it"


def test_a_network_in_which_nobody_fails_any_more_is_no_second_one() -> None:
    silent = SILENT | {"contrasts": PROVEN}
    for more, paged in (
        ({"agreeing": 2}, True),
        ({"agreeing": 1, "silent": 1}, True),
        ({"agreeing": 1}, False),
        ({"agreeing": 0}, False),
    ):
        second = network(asn=64502, tier=Tier.LIKELY, **silent | more)
        said = event(network(**silent), second, held=60, against=("untyped",))
        assert ((probability(said) or 0) > DOUBTED_MOST) is paged


def test_hours_of_a_denial_are_those_of_the_policy() -> None:
    lasting = network(**DENIED, seen=AT + LONGEST_DENIAL_MS // 60)
    assert "old_denial" in fitting(event(lasting))
    assert "old_denial" not in fitting(event(lasting, pace=60))


def test_an_explanation_must_fit_all_networks_of_the_tier() -> None:
    small, large = network(known_owners=0, new_owners=2), network(asn=64502)
    assert fits(small) == {"new_vantages", "shared_line"}
    assert not fits(small, large)
    assert not fits(large, network(asn=64503, known_owners=0, new_owners=1, tier=Tier.UNCONFIRMED))


@pytest.mark.parametrize("remark", sorted(hypotheses.REMARKS))
def test_nothing_that_is_doubted_is_sure_enough_for_a_page(remark: str) -> None:
    whole = [network(asn=n, contrasts=PROVEN, signs=BY_NAME) for n in range(64501, 64505)]
    doubted = event(*whole, held=10_000, against=(remark,))
    assert is_doubted(doubted)
    assert (probability(doubted) or 0) <= DOUBTED_MOST < Policy().alerting.page_per_mille
    assert (probability(event(*whole, held=10_000)) or 0) >= Policy().alerting.page_per_mille


def test_a_network_with_two_vantages_that_failed_before_fails_at_once_with_the_others() -> None:
    """The vantages that failed have each a reason of their own, and make their network likely."""
    world = World([*vantages(3), *vantages(3, asn=64502), *vantages(3, "FR", 64503)]).quiet(12)
    own = {"p-ru64501-0": 12, "p-ru64501-1": 24, "p-ru64501-2": 36}

    def says(n: int, who: Vantage) -> Verdict:
        began = own.get(who.probe, 36 if who.asn == 64502 else 999)
        return BLACKHOLE if n >= began else ok()

    world.run(34, says)
    before = {each.asn: each for each in world.only.networks}[64501]
    assert before.tier is not Tier.UNCONFIRMED
    assert "everywhere_at_once" in world.only.against
    later = World([*vantages(3), *vantages(3, asn=64502), *vantages(3, "FR", 64503)]).quiet(12)
    own = {f"p-ru64501-{n}": 12 for n in range(3)}
    assert "everywhere_at_once" not in later.run(34, says).only.against, "two moments"


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_two_new_owners_in_a_network_of_two_never_page(verdict: Any) -> None:
    at = World([]).round
    new = vantages(2, enrolled=at - 7 * 86_400_000)
    world = World([*new, *vantages(3, "FR", 64503)]).quiet()
    world.run(60, in_network(64501, verdict))
    assert "new_vantages" in world.only.against
    assert (probability(world.only) or 0) <= DOUBTED_MOST
