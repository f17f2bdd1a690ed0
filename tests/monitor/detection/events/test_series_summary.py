from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.detection.events.onset import Onset
from monitor.detection.events.outages import TargetHealth
from monitor.detection.events.series_summary import (
    MAX_WITNESSES,
    Health,
    SeriesSummary,
    against,
    chosen,
    extent,
    network_evidence,
    onset_of,
    risen_places,
    rule_counts,
    series_summaries,
    supported,
    witnesses,
)
from monitor.detection.model import State, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    INTERVAL,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    by_probe,
    in_network,
    ok,
    standard,
    vantages,
)


def seen(world: World, country: str = "RU") -> list[SeriesSummary]:
    return series_summaries(world.state, country, "probe", world.state.round, POLICY)


def health(world: World) -> Health:
    return lambda target: TargetHealth(world.state, target, world.state.round, POLICY)


def world(rounds: int = 4, verdict: object = None) -> World:
    said = blocked() if verdict is None else verdict
    return World(standard()).quiet().run(rounds, in_network(64501, said))  # type: ignore[arg-type]


def test_alarmed_series_of_the_country_and_no_other() -> None:
    here = world()
    assert [(s.network.asn, s.layer) for s in seen(here)] == [(64501, "tls")]
    assert seen(here, "FR") == []
    assert seen(World(standard()).quiet()) == []
    assert risen_places(here.state) == {("RU", "probe")}
    assert risen_places(World(standard()).quiet().state) == set()


@pytest.mark.parametrize(
    ("support", "present", "expected"),
    [
        ({}, "", ""),
        ({}, "tls.reset.sni", "tls.reset.sni"),
        ({"dns.nxdomain": 7, "tls.reset.sni": 7}, "", "tls.reset.sni"),
        ({"dns.nxdomain": 8, "tls.reset.sni": 7}, "", "dns.nxdomain"),
        ({"dns.nxdomain": 10, "tls.reset.sni": 7}, "tls.reset.sni", "tls.reset.sni"),
        ({"dns.nxdomain": 11, "tls.reset.sni": 7}, "tls.reset.sni", "dns.nxdomain"),
        ({"dns.nxdomain": 1}, "tls.reset.sni", "dns.nxdomain"),
    ],
)
def test_chosen_technique(support: dict[str, int], present: str, expected: str) -> None:
    assert chosen(support, present) == expected


def test_support_comes_from_those_who_failed_lately() -> None:
    here = world()
    assert set(supported(seen(here), here.state.round, POLICY)) == {"tls.reset.sni"}
    later = here.state.round + POLICY.ms(POLICY.rounds.silent_seconds) + 1
    assert supported(seen(here), later, POLICY) == {}


@pytest.mark.parametrize(
    ("state", "present", "expected"),
    [
        (State.BLOCKED, "", "full"),
        (State.IMPAIRED, "", "partial"),
        (State.THROTTLED, "", "partial"),
        (State.BLOCKED, "partial", "full"),
        (State.IMPAIRED, "full", "partial"),
    ],
)
def test_extent(state: State, present: str, expected: str) -> None:
    assert extent(seen(world(4, blocked(state=state))), present) == expected


def test_extent_does_not_flap_over_a_mixture() -> None:
    def mixed(n: int, who: Vantage) -> object:
        part = blocked(state=State.IMPAIRED if n % 2 else State.BLOCKED)
        return part if who.asn == 64501 else ok()

    here = World(standard()).quiet().run(9, mixed)  # type: ignore[arg-type]
    assert {extent(seen(here), present) for present in ("full",)} == {"full"}
    assert {extent(seen(here), present) for present in ("partial",)} == {"partial"}


def test_onset_over_all_vantages() -> None:
    here = world()
    first = START + 3 * INTERVAL
    assert onset_of(seen(here), here.state.round) == Onset(first, first - INTERVAL, first, first)


def test_counts_and_witnesses_go_on_from_the_past() -> None:
    here = world(4)
    assert rule_counts(seen(here), {"tls.reset.sni": 5, "old": 1}) == {
        "tls.reset.sni": 17,
        "old": 1,
    }
    kept = witnesses(seen(here), [(1, 1, "first")])
    assert kept[0] == (1, 1, "first")
    assert list(kept) == sorted(kept)
    assert len(witnesses(seen(here), [(0, n, str(n)) for n in range(50)])) == MAX_WITNESSES


def test_evidence_of_a_network_for_the_pages() -> None:
    here = world()
    (summary,) = seen(here)
    shown = network_evidence(summary, here.state.round, POLICY)
    assert (shown.asn, shown.layer, shown.technique) == (64501, "tls", "tls.reset.sni")
    assert (shown.tier, shown.agreeing, shown.voting, shown.owners) == (Tier.CONFIRMED, 3, 3, 3)
    assert [nats for _, nats in shown.nats] == [POLICY.evidence.clip_micronats] * 3


@pytest.mark.parametrize(("enrolled", "expected"), [(START - 7 * 86_400_000, 1), (0, 0)])
def test_those_who_deny_it_and_are_new_are_counted(enrolled: int, expected: int) -> None:
    *two, third = vantages(3)
    here = World([*two, replace(third, enrolled=enrolled)]).quiet()
    here.run(6, by_probe({vantage.probe: blocked() for vantage in two}))
    (summary,) = seen(here)
    shown = network_evidence(summary, here.state.round, POLICY)
    assert (shown.agreeing, shown.voting, shown.new_deniers) == (2, 3, expected)


@pytest.mark.parametrize(("reached", "enrolled", "expected"), [(6, 0, 1), (0, 0, 0), (6, START, 0)])
def test_those_who_reached_it_and_went_silent_are_counted_where_they_are_known(
    reached: int, enrolled: int, expected: int
) -> None:
    *two, third = vantages(3)
    here = World([*two, replace(third, enrolled=enrolled)]).quiet()
    failing: dict[str, Verdict | None] = {vantage.probe: blocked() for vantage in two}
    here.run(reached, by_probe(failing))
    here.run(30, by_probe(failing | {third.probe: None}))
    (summary,) = seen(here)
    shown = network_evidence(summary, here.state.round, POLICY)
    assert (shown.agreeing, shown.voting, shown.spared) == (2, 2, expected)


@pytest.mark.parametrize(
    ("people", "verdict", "expected"),
    [
        (vantages(3), blocked(), ("one_network",)),
        (vantages(2), blocked(), ("few_vantages", "one_network")),
        (vantages(3), BLACKHOLE, ("one_network", "untyped")),
        (vantages(1), blocked(), ("few_vantages", "one_network", "one_owner")),
        ([*vantages(3), *vantages(3, asn=64502)], blocked(), ()),
    ],
)
def test_against(people: list[Vantage], verdict: object, expected: tuple[str, ...]) -> None:
    here = World(people).quiet().run(3, lambda n, who: verdict)  # type: ignore[arg-type,return-value]
    assert against(seen(here), health(here), here.state.round, POLICY) == expected


def test_against_says_when_somebody_abroad_fails_too() -> None:
    here = World([*standard(), *vantages(3, "DE", 64504)]).quiet()
    here.run(3, lambda n, who: blocked() if who.asn in (64501, 64504) else ok())
    assert "failing_elsewhere" in against(seen(here), health(here), here.state.round, POLICY)
