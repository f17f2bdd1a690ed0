"""Worlds that the detector was not made for, and the faults in them."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.world.faults import HOUR_MS, Spell
from benchmarks.world.hazard import Hazard, Reach, hazard
from benchmarks.world.hazards import WORLDS, world
from benchmarks.world.rates import BLOCKING, MINUTE_MS
from benchmarks.world.scene import START, Scene
from benchmarks.world.statements import kind_of, plan
from benchmarks.world.unfitted import UNFITTED
from benchmarks.world.vantages import Person, populate, settled
from benchmarks.world.verdicts import Look, Signs, looking
from monitor.detection.model import Fact, State, Technique
from tests.benchmarks.test_world import CALM

PEOPLE = populate(settled((3, 5), ("AA",)), CALM, random.Random(1))
ALWAYS = Hazard("fault", 1.0, Look.SILENT, fails=(1.0, 1.0))


def spells(fault: Hazard, n: int = 400) -> list[Spell]:
    rng = random.Random(2)
    return [fault.spell(PEOPLE, START, rng) for _ in range(n)]


def day_under(fault: Hazard) -> list[Fact]:
    """One day of the first country, all of it within a fault."""
    scene = Scene(settled((3,), ("AA",)), seed=1, interval=300_000, days=1, rates=CALM)
    spell = fault.spell(scene.people, START, random.Random(3))
    spell = replace(spell, start=START, end=START + 24 * HOUR_MS)
    rng = random.Random(4)
    return [fact for n in range(scene.rounds) for fact in scene.facts(n, rng, more=(spell,))]


@pytest.mark.parametrize("name", [*WORLDS, *UNFITTED])
def test_a_world_is_drawn_from_its_seed(name: str) -> None:
    assert world(name, 4) == world(name, 4)
    assert world(name, 4) != world(name, 5)
    assert 0.5 <= world(name, 4).blocks_yearly <= 2.0


def test_durations_have_a_heavy_tail_with_an_end() -> None:
    fault = replace(ALWAYS, minutes=(60.0, 1.2))
    lasting = [(spell.end - spell.start) / MINUTE_MS for spell in spells(fault)]
    assert 45 < statistics.median(lasting) < 80
    assert min(lasting) >= 5
    assert 600 < max(lasting) <= fault.longest


def test_a_hazard_befalls_a_network_a_country_or_some_vantages_of_a_network() -> None:
    networks = [{p.index for p in PEOPLE if p.asn == asn} for asn in {p.asn for p in PEOPLE}]
    assert {len(s.whom) for s in spells(ALWAYS)} == {len(each) for each in networks}
    assert {len(s.whom) for s in spells(replace(ALWAYS, reach=Reach.COUNTRY))} == {len(PEOPLE)}
    some = spells(replace(ALWAYS, reach=Reach.SOME))
    assert all(2 <= len(s.whom) <= 3 for s in some)
    assert any(s.whom < network for s in some for network in networks)
    assert ALWAYS.often(PEOPLE) == 2 * replace(ALWAYS, reach=Reach.COUNTRY).often(PEOPLE)


def test_a_scattered_one_befalls_a_third_of_the_vantages_in_whichever_networks() -> None:
    scattered = replace(ALWAYS, reach=Reach.SCATTERED)
    drawn = [spell.whom for spell in spells(scattered)]
    assert {len(whom) for whom in drawn} == {2}
    assert set().union(*drawn) == {person.index for person in PEOPLE}
    assert scattered.often(PEOPLE) == 1.0


def test_one_that_spreads_reaches_the_networks_one_after_the_other() -> None:
    spreading = replace(ALWAYS, reach=Reach.COUNTRY, spread_minutes=60.0)
    rng, later = random.Random(2), []
    for _ in range(100):
        first, second = spreading.spells(PEOPLE, START, rng)
        assert first.start == START
        assert first.whom | second.whom == {person.index for person in PEOPLE}
        assert not first.whom & second.whom
        assert second.end - second.start == first.end - first.start
        later.append((second.start - START) / MINUTE_MS)
    assert 0 <= min(later) < 10 < 50 < max(later) <= 60
    assert len(replace(spreading, spread_minutes=0.0).spells(PEOPLE, START, rng)) == 1


def test_one_that_moves_reaches_the_countries_in_days_and_their_networks_in_turn() -> None:
    people = populate(settled((2, 2)), CALM, random.Random(1))
    moving = replace(ALWAYS, reach=Reach.COUNTRY, spread_minutes=60.0, spread_days=9.0)
    countries = {person.asn: person.country for person in people}
    apart = []
    for n in range(20):
        starts: dict[str, list[int]] = {}
        for each in moving.spells(people, START, random.Random(n)):
            (asn,) = {people[index].asn for index in each.whom}
            starts.setdefault(countries[asn], []).append(each.start - START)
        assert [len(some) for some in starts.values()] == [2, 2, 2]
        assert all(max(some) - min(some) <= HOUR_MS for some in starts.values())
        first, *others = sorted(min(some) for some in starts.values())
        assert first == 0
        apart += others
    assert 6 * 24 * HOUR_MS < max(apart) <= (9 * 24 + 1) * HOUR_MS


def test_one_of_the_line_concerns_other_hosts_as_well() -> None:
    states = {fact.verdict.state for fact in day_under(replace(ALWAYS, hosts=1.0))}
    assert states == {State.VANTAGE_OFFLINE}
    partly = day_under(replace(ALWAYS, hosts=1.0, fails=(0.3, 0.3)))
    assert 0.8 < statistics.mean(fact.others_passed for fact in partly) / 5 / 0.7 < 1.2
    assert all(fact.others_passed == 5 for fact in day_under(ALWAYS))


def test_an_overload_fails_in_its_hours_of_the_day_alone() -> None:
    facts = day_under(replace(ALWAYS, hours=(19, 23)))
    failing = {fact.started // HOUR_MS % 24 for fact in facts if fact.verdict.state is not State.OK}
    assert failing == {19, 20, 21, 22}


@pytest.mark.parametrize(
    ("look", "state", "technique"),
    [
        (Look.SILENT, State.BLOCKED, Technique.TCP_TIMEOUT),
        (Look.IPV6, State.IMPAIRED, Technique.TCP_TIMEOUT),
        (Look.CERTIFICATE, State.INCONCLUSIVE, None),
        (Look.REFUSED, State.BLOCKED, Technique.TCP_REFUSED),
    ],
)
def test_failures_look_as_the_hazard_says(
    look: Look, state: State, technique: Technique | None
) -> None:
    facts = day_under(replace(ALWAYS, looks=look))
    assert {(fact.verdict.state, fact.verdict.technique) for fact in facts} == {(state, technique)}


def test_hazards_come_as_often_as_they_occur() -> None:
    rare, frequent = replace(ALWAYS, name="rare"), replace(ALWAYS, name="frequent", yearly=9.0)
    drawn = replace(world("mixture", 1), hazards=(rare, frequent))
    rng = random.Random(5)
    names = [hazard(drawn, PEOPLE, rng).name for _ in range(1000)]
    assert 60 < names.count("rare") < 150


def test_strangers_are_the_first_vantages_of_a_small_network() -> None:
    drawn = world("two strangers of two or three", 1)
    assert drawn.strangers == 2
    first, *others = settled(drawn.sizes, ("AA",))
    people = populate([replace(first, strangers=2), *others], CALM, random.Random(1))
    new: list[Person] = [person for person in people if not person.known_days]
    assert [person.index for person in new] == [0, 1]


def shown(fault: Hazard, look: Look) -> set[str]:
    """The remarks on most failures of a day under a fault."""
    facts = [
        fact
        for fact in day_under(replace(fault, looks=look))
        if fact.verdict.state is State.BLOCKED
    ]
    counts = Counter(remark for fact in facts for remark in fact.verdict.evidence)
    return {remark for remark, count in counts.items() if 2 * count > len(facts)}


def test_failures_show_the_signs_of_their_cause_and_no_others() -> None:
    bare = replace(ALWAYS, shows=(("sooner", 0.0), ("zoneless", 0.0)))
    assert shown(bare, Look.NAMED) == set()
    assert shown(replace(ALWAYS, shows=(("sooner", 1.0),)), Look.NAMED) == {"sooner_than_server"}
    denied = replace(ALWAYS, shows=(("zoneless", 1.0), ("others", 1.0)))
    assert {"denied_without_zone", "others_answer"} <= shown(denied, Look.DENIED)
    assert shown(denied, Look.SILENT) == {"other_port_fails"}, "no resolver is asked"
    assert shown(replace(ALWAYS, port_alone=1.0), Look.SILENT) == {"partial:port"}
    assert shown(replace(ALWAYS, port_alone=0.0), Look.SILENT) == set()


@pytest.mark.parametrize(
    ("public", "at_home", "whose"),
    [
        *((True, False, {"public_resolver"}), (True, True, {"local_resolver"})),
        *((False, True, {"local_resolver"}), (False, False, set())),
    ],
)
def test_a_public_resolver_is_known_where_no_device_at_home_asks_it(
    public: bool, at_home: bool, whose: set[str]
) -> None:
    signs = Signs(others=True, public=public)
    verdict = looking(Look.DENIED, random.Random(1), 1.0, signs=signs, at_home=at_home)
    assert {"local_resolver", "public_resolver"}.intersection(verdict.evidence) == whose
    silent = looking(Look.SILENT, random.Random(1), 1.0, signs=signs, at_home=at_home)
    assert not whose.intersection(silent.evidence), "no resolver accuses"


@pytest.mark.parametrize(
    ("moves", "works"),
    [(None, False), ((1.0, 0.0), True), ((0.0, 1.0), False), ((0.0, 0.0), None)],
)
def test_what_other_resolvers_give_when_a_service_moves(
    moves: tuple[float, float] | None, works: bool | None
) -> None:
    facts = day_under(replace(ALWAYS, looks=Look.SILENT, moves=moves))
    silent = [fact.others_work for fact in facts if fact.verdict.state is State.BLOCKED]
    assert silent.count(works) > 0.7 * len(silent)
    denied = day_under(replace(ALWAYS, looks=Look.DENIED, moves=moves))
    assert {fact.others_work for fact in denied} == {None}, "no address was dialled"


def test_a_hop_is_found_beside_some_failures() -> None:
    traced = replace(ALWAYS, looks=Look.NAMED, shows=(("before", 1.0),))
    evidence = [fact.verdict.evidence for fact in day_under(traced)]
    assert 0.1 < sum("hops_before_server" in remarks for remarks in evidence) / len(evidence) < 0.3


def test_what_a_block_shows_is_drawn_with_its_world() -> None:
    rng = random.Random(6)
    always = replace(
        BLOCKING, denied=1.0, forged=0.0, zoneless=1.0, on_path=0.0, shown=1.0, national=0.0
    )
    scene = Scene(settled((3,), ("AA",)), seed=1, interval=300_000, days=1, rates=CALM)
    plans = [plan(scene, START, rng, always)[0] for _ in range(300)]
    assert {block.look for block in plans if block.signature} == {Look.DENIED}
    assert {block.signs for block in plans if block.signature} == {
        Signs(zoneless=True, others=True)
    }
    assert {kind_of([block]) for block in plans if block.look is Look.DENIED} == {
        "denied, full, one network",
        "denied, partial, one network",
    }
    by_name = replace(always, denied=0.0, sooner=1.0, before=0.0)
    named = [plan(scene, START, rng, by_name)[0] for _ in range(100)]
    shown = {(block.named, block.signs) for block in named if block.look is Look.NAMED}
    assert shown == {(n, Signs(sooner=True, ours_passes=not n)) for n in (True, False)}
    no_host = replace(by_name, named=0.0)
    bare = [plan(scene, START, rng, no_host)[0] for _ in range(100)]
    assert {block.signs for block in bare if block.look is Look.NAMED} == {Signs(sooner=True)}
