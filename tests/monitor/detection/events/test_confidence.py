"""The confidence of an event: from the event alone, in whole numbers, the same everywhere."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.events import hypotheses
from monitor.detection.events.confidence import (
    DOUBTED_MOST,
    LEAST,
    MOST,
    MOST_SURE,
    OTHERS_SHOW_IT,
    TERMS,
    WEIGHTS,
    is_held_by_others,
    probability,
    terms,
    values,
)
from monitor.detection.model import (
    NO_CONTRASTS,
    Change,
    ChangeKind,
    Contrasts,
    Event,
    EventState,
    Layer,
    NetworkEvidence,
    OtherWitnesses,
    Technique,
    Tier,
    Verdict,
)
from monitor.detection.policy import Policy
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    World,
    blocked,
    by_probe,
    in_network,
    ok,
    standard,
    vantages,
)

MINUTE = 60_000
PROVEN = Contrasts(failures=10, answered=9, other_port=9, given=9)
"""The addresses answer elsewhere, no other port of the hosts is reached, and other resolvers give
none that work."""
AT = 1_790_000_000_000
BY_NAME = (("named", 3, 0, 3),)
LATER = AT + 40 * MINUTE
AT_ONCE = ("everywhere_at_once", "untyped")


def network(asn: int = 64501, **more: Any) -> NetworkEvidence:
    said: dict[str, Any] = {"tier": Tier.CONFIRMED, "agreeing": 3, "voting": 3, "owners": 3}
    said |= {"known_owners": 3, "signature": True, "dense_per_mille": 980, "layer": "tls"}
    said |= {"technique": "tls.reset.sni", "onset": AT} | more
    return NetworkEvidence(asn=asn, target="wechat/web", **said)


def event(*networks: NetworkEvidence, held: int = 5, **more: Any) -> Event:
    """A confirmed event that rose to likely at AT and last changed `held` minutes later."""
    said = {
        "tier": Tier.CONFIRMED,
        "state": EventState.OPEN,
        "history": (
            Change(round=AT, kind=ChangeKind.OPENED),
            Change(round=AT, kind=ChangeKind.LIKELY),
        ),
    } | more
    return Event(
        id="e",
        service="wechat",
        country="RU",
        targets=("wechat/web",),
        asns=tuple(each.asn for each in networks),
        technique="tls.reset.sni",
        extent="full",
        onset=AT,
        onset_earliest=AT,
        onset_latest=AT,
        opened=AT - 60 * MINUTE,
        updated=AT + held * MINUTE,
        agreeing=3,
        total=3,
        control="ok",
        networks=networks,
        **said,
    )


def sure(each: Event) -> int:
    found = probability(each)
    assert found is not None
    return found


def bare(**more: Any) -> NetworkEvidence:
    return network(signature=False, **more)


def test_every_tier_has_a_weight_for_every_term() -> None:
    assert set(WEIGHTS) == set(Tier)
    assert {len(each) for each in WEIGHTS.values()} == {1 + len(TERMS)}
    assert len(values(event(network()))) == len(TERMS)


def proven(**more: Any) -> NetworkEvidence:
    return network(contrasts=PROVEN, signs=BY_NAME, **more)


def silent(**more: Any) -> NetworkEvidence:
    """A network without a signature, whose addresses answer elsewhere."""
    return bare(contrasts=PROVEN, technique="tcp.timeout", layer="tcp", **more)


def test_it_is_the_logistic_function_of_the_sum_of_its_terms() -> None:
    for each in (event(network()), event(bare(), held=60, against=("untyped",))):
        logits = sum(term.logits for term in terms(each)) / 1000
        exact = 1000 / (1 + 2.718281828459045**-logits)
        assert abs(sure(each) - min(MOST, max(LEAST, exact))) <= 0.63  # half a step and rounding


def test_imports_and_what_was_withdrawn_have_no_figure() -> None:
    assert probability(event(network(), source="ooni")) is None
    assert probability(event(network(), state=EventState.RETRACTED)) is None
    closed = event(network(), state=EventState.CLOSED)
    assert probability(closed) == probability(event(network()))


def test_more_evidence_is_never_less_sure() -> None:
    untyped = {"against": ("untyped",)}
    one = event(silent(), held=50, **untyped)
    assert sure(event(network(), held=50)) < sure(event(proven(), held=50))
    assert sure(event(silent(), silent(asn=64502), held=50, **untyped)) > sure(one)
    assert sure(event(bare(), held=50, **untyped)) < sure(one), "nothing told the path"
    assert sure(event(silent(agreeing=2, voting=5), held=50, **untyped)) < sure(one)
    assert sure(event(silent(agreeing=0, voting=5), held=50, **untyped)) < sure(one)
    likely = event(network(tier=Tier.LIKELY), tier=Tier.LIKELY)
    alone = event(network(tier=Tier.UNCONFIRMED, agreeing=1), tier=Tier.UNCONFIRMED)
    assert sure(alone) < sure(likely) < sure(event(network()))


def test_a_block_by_name_that_our_own_host_shows_wakes_people_at_once() -> None:
    page = Policy().alerting.page_per_mille
    assert sure(event(proven(), held=5)) >= page
    assert sure(event(network(), held=10_000)) < page, "long is not proof"
    answered = network(contrasts=PROVEN)
    assert sure(event(answered, held=10_000)) < page
    others = [network(asn=64502 + n, contrasts=PROVEN) for n in range(4)]
    assert sure(event(answered, *others, held=10_000)) == DOUBTED_MOST < page, "an edge refuses it"
    assert sure(event(proven(), *others, held=5)) >= page


@pytest.mark.parametrize(
    ("technique", "signs"),
    [
        ("tls.reset.sni", (("nearer", 3, 0, 3),)),
        ("tls.reset.sni", (("server_beyond", 2, 0, 3),)),
        ("dns.nxdomain", (("zoneless", 2, 0, 2), ("others_answer", 3, 0, 3))),
        ("dns.nxdomain", (("forged", 3, 0, 3), ("others_answer", 3, 0, 3))),
        ("dns.injection.bogon", (("forged", 3, 0, 3), ("others_answer", 3, 0, 3))),
    ],
    ids=[
        "nearer than the server",
        "hops before it",
        "denied without a zone",
        "denied on the way",
        "forged",
    ],
)
def test_what_stands_on_the_way_wakes_people_in_one_network_without_a_host_of_our_own(
    technique: str, signs: tuple[tuple[str, int, int, int], ...]
) -> None:
    page = Policy().alerting.page_per_mille
    by_name = technique.startswith("tls")
    answered = PROVEN if by_name else Contrasts(failures=9)
    layer = technique.partition(".")[0]
    here = {"technique": technique, "layer": layer, "contrasts": answered}
    assert sure(event(network(**here, signs=signs), held=1)) >= page
    for known, others in ((1, 0), (0, 2)):
        few = tuple((sign, known, others, able) for sign, _, _, able in signs)
        assert sure(event(network(**here, signs=few), held=1)) < page, "few owners say so"
    assert sure(event(network(**here), held=1)) < page


def remarked(*evidence: str) -> Verdict:
    """A name that the network's resolvers deny, with what others show of it."""
    denied = blocked(Technique.DNS_NXDOMAIN, Layer.DNS)
    return replace(denied, evidence=("others_answer", *evidence))


@pytest.mark.parametrize(
    ("evidence", "is_paged"),
    [(("denied_without_zone",), True), (("made_up",), True), ((), False)],
    ids=["without a zone", "made up", "with a zone"],
)
@pytest.mark.parametrize("asns", [(64501,), (64501, 64502)], ids=["one network", "two networks"])
def test_a_denial_wakes_people_where_the_names_own_servers_cannot_have_given_it(
    asns: tuple[int, ...], evidence: tuple[str, ...], is_paged: bool
) -> None:
    failing = {each.probe: remarked(*evidence) for each in standard() if each.asn in asns}
    world = World(standard()).quiet().run(60, by_probe(failing))
    assert set(world.only.asns) == set(asns)
    confirmed = [each for each in world.emitted if each.tier is Tier.CONFIRMED]
    page = Policy().alerting.page_per_mille
    pages = [(each.updated - each.onset) // MINUTE for each in confirmed if sure(each) >= page]
    assert pages[0] <= 30 if is_paged else not pages
    assert ("old_denial" in confirmed[0].against) is not is_paged
    assert "old_denial" not in world.only.against, "none is kept for so long"


def test_resolvers_at_home_abstain_and_one_of_the_network_is_not_enough() -> None:
    home = remarked("denied_without_zone", "local_resolver")
    carrier = remarked("denied_without_zone")

    def surest(at_home: int) -> int:
        said = {each.probe: home if n < at_home else carrier for n, each in enumerate(vantages(3))}
        world = World(standard()).quiet().run(12, by_probe(said))
        return max(sure(each) for each in world.emitted if each.tier is Tier.CONFIRMED)

    assert surest(0) == surest(1) >= Policy().alerting.page_per_mille
    assert surest(2) == surest(3) <= DOUBTED_MOST


def test_a_public_resolver_wakes_nobody() -> None:
    public = remarked("denied_without_zone", "public_resolver")

    def surest(asking_it: int) -> int:
        said = {each.probe: public if n < asking_it else None for n, each in enumerate(vantages(3))}
        theirs = {probe: verdict for probe, verdict in said.items() if verdict is not None}
        own = dict.fromkeys(said, remarked("denied_without_zone")) | theirs
        world = World(standard()).quiet().run(48, by_probe(own))
        return max(sure(each) for each in world.emitted if each.tier is Tier.CONFIRMED)

    assert surest(1) >= Policy().alerting.page_per_mille
    assert surest(2) == surest(3) <= DOUBTED_MOST


def test_silence_wakes_people_after_an_hour_in_several_networks_whose_addresses_answer() -> None:
    page, untyped = Policy().alerting.page_per_mille, {"against": ("untyped",)}
    wide = silent(), silent(asn=64502, onset=LATER)
    assert sure(event(silent(), silent(asn=64502), held=60, against=AT_ONCE)) < page
    assert sure(event(*wide, held=59, **untyped)) == DOUBTED_MOST < page
    assert sure(event(*wide, held=60, **untyped)) >= page
    assert sure(event(silent(), held=10_000, **untyped)) < page
    assert sure(event(bare(), bare(asn=64502), held=10_000, **untyped)) < page
    refused = (silent(), replace(silent(asn=64502, onset=LATER), technique="tcp.reset"))
    assert sure(event(*refused, held=10_000, **untyped)) < page, "a service refuses networks"
    part = silent(agreeing=2, voting=5), silent(asn=64502, agreeing=2, voting=5)
    assert sure(event(*part, held=10_000, **untyped)) < page


def test_every_explanation_has_a_bound_of_its_own_and_the_least_one_holds() -> None:
    assert set(MOST_SURE) == hypotheses.REMARKS
    whole = [proven(asn=n) for n in range(64501, 64505)]
    for remark, bound in MOST_SURE.items():
        assert LEAST < bound < DOUBTED_MOST
        assert sure(event(*whole, against=(remark, "few_vantages"))) == bound
        weak = event(bare(), against=(remark, "untyped"))
        assert sure(weak) < bound, "a bound makes nothing surer"
    two = event(*whole, against=("overloaded", "spares_some"))
    assert sure(two) == min(MOST_SURE["overloaded"], MOST_SURE["spares_some"])
    assert sure(replace(two, beside=(SHOWN_BY_OONI,))) == sure(two)
    assert sure(event(*whole, against=("few_vantages",))) >= Policy().alerting.page_per_mille


@pytest.mark.parametrize("tier", [Tier.LIKELY, Tier.UNCONFIRMED])
def test_what_is_not_confirmed_is_never_sure(tier: Tier) -> None:
    networks = (proven(asn=n, tier=tier) for n in range(64501, 64506))
    assert sure(event(*networks, tier=tier, held=10_000)) <= DOUBTED_MOST


def test_a_signature_in_one_network_wakes_nobody_unless_a_sign_tells_the_path_from_the_server() -> (
    None
):
    page = Policy().alerting.page_per_mille
    one_owner = {"signature": False, "agreeing": 2, "contrasts": PROVEN}
    assert DOUBTED_MOST == sure(event(network(**one_owner))) < page
    assert sure(event(network(**one_owner, signs=BY_NAME))) >= page
    assert sure(event(network(contrasts=PROVEN), held=10_000)) < page


def test_a_stranger_who_denies_weighs_half_of_one_who_is_known_and_nothing_against_two() -> None:
    place = TERMS.index("signatures_all")
    denied = {"agreeing": 2, "voting": 3, "known_owners": 2}
    assert not values(event(network(**denied)))[place]
    assert values(event(network(**denied, new_deniers=1)))[place] == 1
    many = {"agreeing": 2, "voting": 12, "known_owners": 2, "new_deniers": 10}
    assert values(event(network(**many)))[place] == 1
    strangers = {"agreeing": 1, "voting": 3, "known_owners": 1, "new_deniers": 2}
    assert not values(event(network(**strangers)))[place]


def test_silence_holds_after_an_hour_of_the_policy_and_no_longer_says_more() -> None:
    place, untyped = TERMS.index("held_path"), {"against": ("untyped",)}
    assert not values(event(silent(), held=59, **untyped))[place]
    assert not values(event(bare(), held=10_000, **untyped))[place]
    for held, pace in ((60, 1), (10_000, 1), (1, 60)):
        assert values(event(silent(), held=held, pace=pace, **untyped))[place] == 1
    young = replace(event(silent(), held=0, **untyped), history=())
    assert values(young)[place] == 1, "without a history it counts from the first alarm"


@pytest.mark.parametrize("tier", Tier)
def test_an_event_that_names_no_networks_is_judged_by_its_own_counts(tier: Tier) -> None:
    assert LEAST <= sure(event(tier=tier)) <= MOST


def asleep(*awake: int) -> dict[str, None]:
    """What the vantages of `night` say while all but these (by number) are off."""
    return {each.probe: None for n, each in enumerate(vantages(5)) if n not in awake}


def night(verdict: Verdict) -> World:
    """An hour and a half of a block in one network, and then three hours without a word of it."""
    here = World([*vantages(5), *vantages(2, asn=64502), *vantages(3, "FR", 64503)]).quiet()
    return here.run(18, in_network(64501, verdict)).run(36, by_probe(asleep()))


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_silence_says_nothing_against_a_block(verdict: Verdict) -> None:
    here = night(verdict)
    was = sure([each for each in here.emitted if each.now.agreeing == 5][-1])
    assert (here.only.now.agreeing, here.only.networks[0].silent) == (0, 5)
    assert sure(here.only) == was
    here.run(1, by_probe({vantages(5)[0].probe: verdict, **asleep(0)}))
    assert (here.only.now.agreeing, here.only.networks[0].silent) == (1, 4)
    assert sure(here.only) >= was


def test_success_at_the_end_says_nothing_against_what_was() -> None:
    here = night(blocked())
    was = sure(here.only)
    here.run(2, by_probe(asleep(0, 1, 2)))
    assert (here.only.state, here.only.networks[0].silent) == (EventState.CLEARING, 2)
    assert sure(here.only) == was


def test_time_in_which_nobody_fails_makes_nothing_surer() -> None:
    here = World(standard()).quiet().run(12, in_network(64501, BLACKHOLE))
    place = TERMS.index("held_path")
    assert values(here.only)[place] == values(here.run(1, lambda n, who: ok()).only)[place]


SHOWN_BY_OONI = OtherWitnesses("ooni", "o", Tier.LIKELY, 14, 2)


def test_runs_of_others_raise_the_figure_and_never_make_it_page() -> None:
    page, held = Policy().alerting.page_per_mille, 0
    for tier, known, signature, count, contrasts, signs, voting in itertools.product(
        Tier, (3, 0), (True, False), (1, 2), (NO_CONTRASTS, PROVEN), ((), BY_NAME), (3, 4, 9)
    ):
        same: dict[str, Any] = {"tier": tier, "signature": signature, "contrasts": contrasts}
        same |= {"known_owners": known}
        networks = (network(64501 + n, signs=signs, voting=voting, **same) for n in range(count))
        alone = event(*networks, tier=tier)
        both = replace(alone, beside=(SHOWN_BY_OONI,))
        assert sure(alone) <= sure(both)
        assert (sure(alone) < page) == (sure(both) < page)
        assert sure(alone) < sure(both) or sure(alone) in (LEAST, DOUBTED_MOST, MOST)
        assert not is_held_by_others(alone)
        if is_held_by_others(both):
            held += 1
            assert sure(alone) < page
            assert sure(both) == max(sure(alone), DOUBTED_MOST)
    assert held


def test_an_event_of_theirs_that_is_not_likely_raises_nothing() -> None:
    alone = event(bare(voting=4))
    unsure = OtherWitnesses("ooni", "o", Tier.UNCONFIRMED, 14, 2)
    assert sure(replace(alone, beside=(unsure,))) == sure(alone)
    both = replace(alone, beside=(SHOWN_BY_OONI,))
    assert terms(both)[-1].name == OTHERS_SHOW_IT
    assert sure(both) > sure(alone)
