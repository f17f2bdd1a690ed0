"""What each vantage added, round by round: the very figures by which the fold decided."""

from __future__ import annotations

from monitor.detection.events import series
from monitor.detection.events.explain import (
    MOST_VANTAGES,
    NO_VOTE,
    SeriesRound,
    concerns,
    round_evidence,
    series_rounds,
    unpack,
)
from monitor.detection.events.fold import step
from monitor.detection.model import ClosedGate, Event, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    TARGET,
    UNCONTROLLED,
    Script,
    Vantage,
    World,
    blocked,
    fact,
    in_network,
    ok,
    standard,
    vantages,
)

QUIET = 3


def explained(world: World, script: Script, rounds: int) -> tuple[Event, list[SeriesRound]]:
    """Fold a script twice: to know the event, and to see what its rounds tell."""
    again = World(world.people, policy=world.policy)
    world.quiet(QUIET).run(rounds, script)
    event = max(world.events.values(), key=lambda each: each.updated)
    found: list[SeriesRound] = []
    for number in range(QUIET + rounds):
        said = [(who, ok() if number < QUIET else script(number, who)) for who in again.people]
        facts = [fact(who, again.round, verdict) for who, verdict in said if verdict is not None]
        closed_gates: dict[str, ClosedGate] = {}
        before = again.state
        again.state, touched = step(
            before, again.round, facts, again.policy, closed_gates=closed_gates
        )
        told = series_rounds(before, again.state, again.round, facts, closed_gates, again.policy)
        mine = told.get((event.country, event.source), ())
        found += [one for one in mine if concerns(event, one)]
        frames = round_evidence(
            before, again.state, again.round, facts, closed_gates, touched, again.policy
        )
        kept = {(each.country, each.source): list(unpack(each.body)) for each in frames}
        assert {place: some for place, some in kept.items() if some} == told
        changed = {each.country for each in touched if each.history[-1].round == again.round}
        assert {each.country for each in frames if each.decided} == changed
        again.number += 1
        again.events.update({each.id: each for each in touched})
    assert again.events == world.events  # looking changes nothing
    return event, found


def test_the_sums_are_those_that_decided() -> None:
    def said(n: int, who: Vantage) -> Verdict:
        first = who.probe == "p-ru64501-0"
        return blocked() if who.asn == 64501 and (n > QUIET or first) else ok()

    event, told = explained(World(standard()), said, 8)
    assert {(m.asn, m.target, m.layer) for m in told} == {(64501, TARGET, "tls")}
    likely = next(m for m in told if m.tier in ("likely", "confirmed"))
    assert likely.holds >= likely.needs
    before = [m for m in told if m.round < likely.round]
    assert before
    threshold = POLICY.evidence.threshold_micronats
    assert all(m.holds < m.needs or max(v.holds for v in m.vantages) < threshold for m in before)
    confirmed = next(m for m in told if m.tier == "confirmed")
    assert confirmed.round == event.confirmed
    assert told[0].round == event.onset


def test_what_is_added_makes_what_is_held() -> None:
    _, told = explained(World(standard()), in_network(64501, blocked()), 8)
    held: dict[str, int] = {}
    for one in told:
        for vantage in one.vantages:
            held[vantage.probe] = held.get(vantage.probe, 0) + vantage.added
            assert vantage.holds == held[vantage.probe] <= POLICY.evidence.clip_micronats
            assert vantage.outcome == "failed"
            assert (vantage.rule, vantage.technique) == ("tls.reset.sni", "tls.reset.sni")
            assert len(vantage.measurement) == 32


def test_who_says_nothing_or_something_else_is_shown_so() -> None:
    def script(number: int, who: object) -> object:
        probe, asn = who.probe, who.asn  # type: ignore[attr-defined]
        if asn != 64501:
            return ok()
        if probe.endswith("-0") and number > QUIET + 4:
            return {5: None, 6: OFFLINE, 7: UNCONTROLLED}.get(number - QUIET, ok())
        return BLACKHOLE

    _, told = explained(World(standard()), script, 20)  # type: ignore[arg-type]
    said = {m.round: {v.probe[-1]: v.outcome for v in m.vantages} for m in told}
    at = [said[START + (QUIET + n) * INTERVAL]["0"] for n in (4, 5, 6, 7, 8)]
    assert at == ["failed", "", "offline", "unproven", "worked"]


def test_a_gate_that_held_is_named_and_only_while_it_did() -> None:
    def script(number: int, who: object) -> object:
        if number >= QUIET + 4:
            return DOWN if number >= QUIET + 6 else blocked()
        return blocked() if who.asn == 64501 else ok()  # type: ignore[attr-defined]

    _, told = explained(World(standard()), script, 9)  # type: ignore[arg-type]
    gates = {m.round: m.gate for m in told if m.asn == 64501}
    first = START + QUIET * INTERVAL
    assert gates[first] is None
    assert gates[first + INTERVAL] is None
    assert gates[first + 5 * INTERVAL] == "service_down"


def test_a_young_vantage_is_shown_and_does_not_count() -> None:
    people = standard()
    young = [
        type(who)(who.probe, who.owner, who.country, who.asn, START)
        if who.probe.endswith("64501-0")
        else who
        for who in people
    ]
    _, told = explained(World(young), in_network(64501, blocked()), 8)
    reasons = {(v.probe[-1], v.no_vote) for m in told for v in m.vantages}
    assert ("0", "young") in reasons
    assert {why for _, why in reasons} <= {"", *NO_VOTE}


def test_a_divided_network_is_explained_by_who_is_the_part() -> None:
    people = [*vantages(6), *vantages(3, "FR", 64503)]
    part = tuple(who.probe for who in people[:2])
    event, told = explained(
        World(people), lambda n, who: blocked() if who.probe in part else ok(), 30
    )
    assert event.tier == "likely"
    tls = [one for one in told if one.layer == "tls"]
    assert {one.divided for one in tls} == {(), part}
    for one in tls:
        assert one.holds < one.needs
        assert (one.tier == "likely") == bool(one.divided)


def test_what_is_added_after_a_suspicion_ended_is_all_that_is_held() -> None:
    def script(number: int, who: Vantage) -> Verdict:
        alone = number == QUIET and who.probe.endswith("-0")
        return BLACKHOLE if who.asn == 64501 and (alone or number > QUIET + 60) else ok()

    _, told = explained(World(standard()), script, 75)
    rounds = sorted({one.round for one in told})[:2]
    assert rounds == [START + QUIET * INTERVAL, START + (QUIET + 61) * INTERVAL]
    begun = [v for one in told if one.round in rounds for v in one.vantages if v.holds]
    assert len(begun) == 4
    assert all(vantage.added == vantage.holds for vantage in begun)


def test_an_isolated_failure_is_told_of_once_and_not_while_it_is_forgotten() -> None:
    people = standard()
    alone = next(who for who in people if who.asn == 64501)
    world, told, suspected = World(people).quiet(QUIET), [], []
    for number in range(3):
        facts = [
            fact(who, world.round, BLACKHOLE if who == alone and number == 0 else ok())
            for who in people
        ]
        before = world.state
        world.state, _ = step(before, world.round, facts, world.policy)
        told.append(bool(series_rounds(before, world.state, world.round, facts, {}, POLICY)))
        all_series = [each for n in world.state.networks.values() for each in n.layers.values()]
        suspected.append(any(map(series.suspected, all_series)))
        world.number += 1
    assert told == [True, False, False]
    assert suspected == [True, True, True]


def test_of_many_vantages_those_with_the_most_evidence_are_listed() -> None:
    people = [*vantages(MOST_VANTAGES + 30), *vantages(3, "FR", 64503)]
    well = {who.probe for who in people[::4]}
    script = lambda n, who: ok() if who.asn != 64501 or who.probe in well else blocked()  # noqa: E731
    _, told = explained(World(people), script, 4)
    last = told[-1]
    assert len(last.vantages) == MOST_VANTAGES
    assert last.others == 30
    assert not well & {vantage.probe for vantage in last.vantages}
    listed = sum(vantage.holds for vantage in last.vantages)
    assert last.others_hold == 10 * last.vantages[0].holds
    assert last.holds == listed + last.others_hold
