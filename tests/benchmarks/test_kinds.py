"""Worlds of several kinds, and the faults that they differ in."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.world.faults import HOSTS, Spell, network_fault, network_faults
from benchmarks.world.kinds import (
    BY_NAME,
    HIDDEN,
    KINDS,
    MORE_SIGNED,
    NATIONAL,
    NOMINAL,
    OWNER,
    UPSTREAM,
    WORST,
    drawn,
)
from benchmarks.world.rates import MINUTE_MS, RATES, Rates, Trouble
from benchmarks.world.scene import START, Scene
from benchmarks.world.vantages import populate, settled
from benchmarks.world.verdicts import cut
from monitor.detection.layers.tls import TLS_RULES, TLSFacts
from monitor.detection.layers.tls_contrasts import TLSContrasts
from monitor.detection.model import Fact, State
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.policy import Policy
from monitor.detection.rule import first
from tests.benchmarks.test_world import CALM

INTERVAL = 300_000


def faults(rates: Rates, n: int = 400) -> list[Spell]:
    people, rng = populate(settled((3, 3, 5)), rates, random.Random(1)), random.Random(2)
    return [network_fault(people, rates, START, rng) for _ in range(n)]


def during(rates: Rates, fault: Spell) -> list[Fact]:
    """Ten rounds of the first country within a fault."""
    scene = Scene(settled((3,)), seed=1, interval=INTERVAL, days=1, rates=rates)
    rng, fault = random.Random(3), replace(fault, whom=frozenset(range(3)))
    return [
        fact
        for n in range(10)
        for fact in scene.facts(n, rng, more=(fault,))
        if fact.country == "AA"
    ]


def test_every_kind_is_drawn_from_its_seed() -> None:
    for kind in (*KINDS, *WORST):
        assert drawn(kind, 4) == drawn(kind, 4)
        if kind != NOMINAL:
            assert drawn(kind, 4) != drawn(kind, 5)
    assert drawn(NOMINAL, 4) == RATES
    with pytest.raises(ValueError, match="no kind"):
        drawn("other", 1)


def test_faults_last_and_are_signed_and_shared_as_the_kind_says() -> None:
    rates = drawn(MORE_SIGNED, 7)
    found = faults(rates)
    lasting = [(each.end - each.start) / MINUTE_MS for each in found]
    assert 20 <= min(lasting) < 25 < 85 < max(lasting) <= 90
    signed = [each for each in found if each.by_name or each.cuts]
    assert 0.22 < len(signed) / len(found) < 0.38
    assert sum(each.by_name for each in signed) < 0.3 * len(signed)
    assert all(each.by_name for each in faults(drawn(BY_NAME, 7)) if each.by_name or each.cuts)
    assert {each.kind for each in found} == {"peering"}
    lonely = sum(not each.hosts for each in signed) / len(signed)
    assert lonely < 0.35
    assert max(len(each.hosts) for each in found) == HOSTS
    assert not any(each.hosts for each in faults(drawn(HIDDEN, 7)) if each.by_name)


def test_an_upstream_is_shared_and_an_outage_is_a_whole_country() -> None:
    sizes = {"upstream": {6, 8, 11}, "peering": {3, 5}, "national": {11}}
    for kind in (UPSTREAM, NATIONAL):
        rates = drawn(kind, 3)
        found = faults(rates)
        for name in {each.kind for each in found}:
            assert {len(each.whom) for each in found if each.kind == name} <= sizes[name]
        expected = rates.peering.yearly * 3 + rates.upstream.yearly + rates.national.yearly
        people = populate(settled((3, 3, 5)), rates, random.Random(1))
        assert network_faults(people, rates) == pytest.approx(expected)


def test_a_fault_fails_for_the_hosts_behind_it_and_an_outage_for_half_of_them() -> None:
    shared = replace(CALM, peering=Trouble(1, 1e6, 1.0, alone=0.0, breadth=(0.3, 0.3)))
    for fault in faults(shared, 20):
        hosts = {f"host-{host}" for host in fault.hosts}
        for fact in during(shared, replace(fault, start=START, end=START + 10**9)):
            assert set(fact.others_failed) == hosts
            assert fact.others_passed == HOSTS - len(hosts)
            offline = len(hosts) > HOSTS // 2
            assert fact.verdict.state is (State.VANTAGE_OFFLINE if offline else State.BLOCKED)
    outage = replace(CALM, national=drawn(NATIONAL, 1).national, national_hosts=0.5)
    outage = replace(outage, peering=Trouble(0, 1, 0))
    said = [f.verdict.state for each in faults(outage, 20) for f in during(outage, each)]
    assert 0.2 < said.count(State.BLOCKED) / len(said) < 0.6
    assert said.count(State.VANTAGE_OFFLINE) > 0.3 * len(said)


def test_vantages_of_one_owner_share_their_troubles() -> None:
    rates = replace(CALM, local_filter=Trouble(900, 600, 1.0), one_owner=0.6)
    assert drawn(OWNER, 1).one_owner > 0
    scene = Scene(settled((5,)), seed=1, interval=INTERVAL, days=2, rates=rates)
    owners = {p.owner for p in scene.people if p.country == "AA"}
    assert len(owners) == 3
    spells = [s for hour in range(48) for s in scene.faults.between(*_hour(hour))]
    assert {len(each.whom) for each in spells if each.kind == "local_filter"} == {1, 3}


def _hour(n: int) -> tuple[int, int]:
    return START + n * 3_600_000, START + (n + 1) * 3_600_000


@pytest.mark.parametrize("fails", [0.5, 0.8, 1.0])
def test_a_device_that_reads_no_name_looks_like_a_block_by_name_only_by_chance(
    fails: float,
) -> None:
    """Connections as a probe makes them, judged by the judge's own rules."""
    rng, flows = random.Random(8), fails**0.5

    def dies() -> Kind:
        return Kind.RESET if rng.random() < flows else Kind.OK

    seen: list[str] = []
    while len(seen) < 2000:
        innocuous, subject, again = dies(), dies(), dies()
        facts = TLSFacts(
            kind=subject,
            reach=Reach.PASSED,
            contrasts=TLSContrasts(subject, innocuous),
            repeated=again is Kind.OK,
        )
        rule = first(TLS_RULES, facts)
        assert rule is not None
        if rule.state is State.BLOCKED:
            assert (rule.weight >= Policy().evidence.signature_micronats) is (
                rule.id == "tls.reset.sni"
            )
            seen.append(rule.id)
    drawn_so = [cut(rng, fails).rule for _ in range(2000)]
    assert set(seen) | set(drawn_so) <= {"tls.reset.sni", "tls.reset.other"}
    by_chance = drawn_so.count("tls.reset.sni") / len(drawn_so)
    assert seen.count("tls.reset.sni") / len(seen) == pytest.approx(by_chance, abs=0.06)
    assert by_chance < 0.34
