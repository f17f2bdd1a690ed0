"""The detector by scenes: small fleets, what each round says, and what may be concluded."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from monitor.detection.events import state as states
from monitor.detection.events.fold import initial, step
from monitor.detection.model import Difference, EventState, State, Technique, Tier, Verdict
from probes.wire.measurement import LIVENESS_INTERNATIONAL
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INJECTED,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    UNCONTROLLED,
    Vantage,
    World,
    blocked,
    by_probe,
    fact,
    faster,
    in_network,
    ok,
    says,
    standard,
    vantages,
)

A, B, C = (f"p-ru64501-{i}" for i in range(3))


def test_typed_block_in_one_network_is_confirmed_after_its_hold_and_accuses_nobody_else() -> None:
    world = World(standard()).quiet().run(3, in_network(64501, blocked()))
    event = world.only
    assert (event.state, event.tier) == (EventState.OPEN, Tier.CONFIRMED)
    assert (event.country, event.asns, event.targets) == ("RU", (64501,), ("wechat/messaging",))
    assert (event.technique, event.extent, event.control) == ("tls.reset.sni", "full", "ok")
    assert (event.agreeing, event.total) == (3, 3)
    assert event.confirmed is not None
    assert event.confirmed - event.opened >= POLICY.ms(
        POLICY.confirmation.confirm_signature_seconds
    )
    assert event.onset == START + 3 * INTERVAL
    assert (event.onset_earliest, event.onset_latest) == (START + 2 * INTERVAL, event.onset)
    assert event.rule_counts == (("tls.reset.sni", 9),)
    assert len(event.witnesses) == 9
    assert [(n.asn, n.layer, n.agreeing) for n in event.networks] == [(64501, "tls", 3)]


def test_untyped_block_is_likely_soon_and_confirmed_after_the_long_hold() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, BLACKHOLE))
    assert world.only.tier is Tier.LIKELY
    assert "untyped" in world.only.against
    world.run(10, in_network(64501, BLACKHOLE))
    assert world.only.tier is Tier.CONFIRMED
    assert world.only.confirmed is not None
    assert world.only.confirmed - world.only.opened >= POLICY.ms(
        POLICY.confirmation.confirm_plain_seconds
    )


def test_event_closes_when_its_witnesses_see_the_service_again_for_long_enough() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    world.quiet(1)
    assert world.only.state is EventState.CLEARING
    world.quiet(6)
    assert (world.only.state, world.only.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert world.kinds() == ["opened", "likely", "confirmed", "clearing", "closed"]
    assert world.only.closed == world.state.round - INTERVAL
    last = START + 6 * INTERVAL
    assert (world.only.ended_earliest, world.only.ended_latest) == (last, last + INTERVAL)
    assert world.state.open_events == {}
    world.quiet(20)
    assert len(world.events) == 1


def test_a_second_block_is_a_second_event() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked())).quiet(6)
    world.run(4, in_network(64501, blocked()))
    assert [e.state for e in world.events.values()] == [EventState.CLOSED, EventState.OPEN]


def test_partial_block_has_extent_partial() -> None:
    part = blocked(state=State.IMPAIRED)
    world = World(standard()).quiet().run(4, in_network(64501, part))
    assert (world.only.extent, world.only.tier) == ("partial", Tier.CONFIRMED)


def test_half_of_the_flows_blocked_is_found_and_does_not_flap() -> None:
    world = World([*vantages(5), *vantages(3, "FR", 64503)]).quiet(20)

    def turn(n: int, who: Vantage) -> Verdict:
        return blocked() if who.asn == 64501 and (n * 7 + int(who.probe[-1])) % 2 else ok()

    world.run(30, turn)
    assert (world.only.state, world.only.tier) == (EventState.OPEN, Tier.CONFIRMED)
    world.quiet(12)
    assert world.only.state is EventState.CLOSED


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE])
def test_a_block_of_two_in_five_measurements_does_not_flap(verdict: Verdict, seed: int) -> None:
    """A few failures in a row look like a full block, a few successes after them like its end."""
    world, chance = World([*vantages(5), *vantages(3, "FR", 64503)]).quiet(80), Random(seed)

    def turn(n: int, who: Vantage) -> Verdict:
        return verdict if who.asn == 64501 and chance.random() < 0.4 else ok()

    world.run(144, turn)
    assert (world.only.state.value, world.only.tier) in (
        ("open", Tier.CONFIRMED),
        ("clearing", Tier.CONFIRMED),
    )


@pytest.mark.parametrize("everywhere", [DOWN, BLACKHOLE, blocked()], ids=["down", "bare", "typed"])
def test_service_failing_everywhere_accuses_nobody(everywhere: Verdict) -> None:
    world = World(standard()).quiet().run(20, lambda n, who: everywhere).quiet(6)
    assert world.events == {}


def test_service_that_turns_out_down_elsewhere_retracts_what_was_not_confirmed() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, BLACKHOLE))
    assert world.only.tier is not Tier.CONFIRMED
    world.run(3, lambda n, who: BLACKHOLE)
    assert world.only.state is EventState.RETRACTED
    assert (world.only.inhibited_by, world.only.closed) == ("service_down", None)
    assert world.kinds()[-1] == "retracted"


def test_control_that_fails_in_the_same_rounds_retracts_what_was_not_confirmed() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, BLACKHOLE))
    world.run(1, in_network(64501, DOWN))
    assert (world.only.state, world.only.inhibited_by) == (EventState.OPEN, "service_down")
    world.run(1, in_network(64501, DOWN))
    assert world.only.state is EventState.RETRACTED


def test_confirmed_event_is_inhibited_but_never_retracted() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    world.run(6, lambda n, who: DOWN)
    event = world.only
    assert (event.state, event.tier) == (EventState.OPEN, Tier.CONFIRMED)
    assert event.inhibited_by == "service_down"


def test_offline_vantages_say_nothing() -> None:
    assert World(standard()).quiet().run(30, in_network(64501, OFFLINE)).events == {}


def test_dark_network_silences_its_last_voice() -> None:
    people = [*vantages(6), *vantages(3, "FR", 64503)]
    script = lambda n, who: (  # noqa: E731
        blocked() if who.probe == A else OFFLINE if who.asn == 64501 else ok()
    )
    assert World(people).quiet().run(10, script).events == {}


def test_dead_control_gives_no_evidence() -> None:
    assert World(standard()).quiet().run(30, in_network(64501, UNCONTROLLED)).events == {}


def test_blocked_without_control_is_no_evidence_even_if_the_verdict_says_so() -> None:
    world = World(standard()).quiet()
    for _ in range(10):
        world.feed(fact(who, world.round, blocked(), control=False) for who in world.people)
    assert world.events == {}


def test_endpoint_failing_with_its_control_in_two_countries_is_stale() -> None:
    people = [*vantages(3), *vantages(2, "KZ", 64510), *vantages(1, "TR", 64520)]
    said = {64501: BLACKHOLE, 64510: DOWN, 64520: DOWN}
    world = World(people).quiet().run(10, lambda n, who: said[who.asn])
    assert world.events == {}


def test_vantage_that_never_saw_the_service_work_gets_no_vote() -> None:
    # Enrolled just now and failing from the first day, as behind a filter at home.
    people = [*vantages(3, enrolled=START), *vantages(3, "FR", 64503)]
    world = World(people).run(200, in_network(64501, blocked()))
    assert world.events == {}


def test_young_vantages_have_no_vote() -> None:
    people = [*vantages(3, enrolled=START), *vantages(3, "FR", 64503)]
    world = World(people).quiet(20).run(20, in_network(64501, blocked()))
    assert world.events == {}
    eligible = World(people).quiet(80).run(4, in_network(64501, blocked()))
    assert eligible.only.tier is Tier.CONFIRMED


@pytest.mark.parametrize(("country", "asn"), [("ZZ", 64501), ("RU", 0)])
def test_vantages_without_a_network_have_no_vote(country: str, asn: int) -> None:
    world = World(vantages(3, country, asn)).quiet().run(10, in_network(asn, blocked()))
    assert world.events == {}


def test_one_vantage_is_published_as_unconfirmed_for_ever() -> None:
    world = World(standard()).quiet().run(400, by_probe({A: blocked()}))
    assert (world.only.state, world.only.tier) == (EventState.OPEN, Tier.UNCONFIRMED)
    assert world.only.asns == (64501,)


def test_one_owner_is_likely_at_most() -> None:
    people = [
        *(type(v)(v.probe, "same", v.country, v.asn) for v in vantages(4)),
        *vantages(3, "FR", 64503),
    ]
    world = World(people).quiet().run(30, in_network(64501, blocked()))
    assert world.only.tier is Tier.LIKELY
    assert "one_owner" in world.only.against


def test_minority_of_a_network_is_unconfirmed_and_without_signatures_it_stays_so() -> None:
    people = [*vantages(6), *vantages(3, "FR", 64503)]
    world = World(people).quiet().run(20, by_probe({A: blocked(), B: blocked()}))
    assert world.only.tier is Tier.UNCONFIRMED
    world = World(people).quiet().run(99, by_probe({A: blocked(weight=0), B: blocked(weight=0)}))
    assert world.only.tier is Tier.UNCONFIRMED


def test_lone_liar_does_not_lend_an_old_alarm_to_a_later_one() -> None:
    world = World(standard()).quiet(20).run(400, by_probe({A: blocked()}))
    world.run(3, by_probe({A: blocked(), B: blocked()}))
    assert world.only.tier is Tier.UNCONFIRMED
    world.run(3, by_probe({A: blocked(), B: blocked(), C: blocked()}))
    assert world.only.tier is Tier.CONFIRMED
    # The block began with those who made it likely, not with the lone one days before.
    assert world.only.onset_latest >= START + 420 * INTERVAL


def test_second_network_joins_only_when_it_is_as_sure() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    both = lambda n, who: blocked() if who.asn == 64501 or who.probe == "p-ru64502-0" else ok()  # noqa: E731
    world.run(6, both)
    assert world.only.asns == (64501,)
    assert {(n.asn, n.tier) for n in world.only.networks} == {
        (64501, Tier.CONFIRMED),
        (64502, Tier.UNCONFIRMED),
    }
    world.run(4, lambda n, who: blocked() if who.country == "RU" else ok())
    assert world.only.asns == (64501, 64502)
    assert Difference(asns_added=(64502,)) in [c.difference for c in world.only.history]


def test_change_of_technique_updates_the_event_and_opens_none() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    onset = world.only.onset
    world.run(10, in_network(64501, BLACKHOLE))
    assert (world.only.technique, world.only.onset) == ("tcp.timeout", onset)
    turns = [c.difference.technique for c in world.only.history if c.difference is not None]
    assert ("tls.reset.sni", "tcp.timeout") in turns


def test_change_within_a_layer_is_followed_and_a_mixture_does_not_flap() -> None:
    other = blocked(Technique.TLS_TIMEOUT_SNI)
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    world.run(12, lambda n, who: ok() if who.asn != 64501 else (blocked(), other)[n % 2])
    assert world.only.technique == "tls.reset.sni"
    world.run(12, in_network(64501, other))
    assert world.only.technique == "tls.timeout.sni"
    assert world.kinds().count("changed") == 1


def test_echo_of_a_trigger_at_a_shallower_layer_changes_nothing() -> None:
    world = World(standard(), interval=60_000).quiet(5)
    # Each round: the trigger, and a retest a minute later that finds the address cut off.
    for _ in range(20):
        facts = []
        for who in world.people:
            bad = who.asn == 64501
            at = world.round
            facts.append(fact(who, at, blocked() if bad else ok(), interval=60_000, started=at))
            again = BLACKHOLE if bad else ok()
            facts.append(fact(who, at, again, interval=60_000, started=at + 30_000))
        world.feed(facts)
    assert world.only.technique == "tls.reset.sni"
    assert {n.layer for n in world.only.networks} == {"tls"}


def test_retests_without_contrasts_change_no_technique_and_no_rhythm() -> None:
    """A reset that nothing is held against is told of without a name: however many, the name
    that the rounds before found stays."""
    untold = replace(blocked(), technique=None, rule="tls.reset.untold")
    world = World(standard(), interval=60_000).quiet(5)
    for minute in range(60):
        regular = minute % 5 == 0
        facts = [
            replace(
                fact(who, world.round, ok(), interval=300_000 if regular else 60_000),
                verdict=(blocked() if regular else untold) if who.asn == 64501 else ok(),
                retest=not regular,
            )
            for who in world.people
            if regular or who.asn == 64501
        ]
        world.feed(facts)
    assert world.only.technique == "tls.reset.sni"
    assert world.only.tier is Tier.CONFIRMED
    assert [change.kind for change in world.only.history] == ["opened", "likely", "confirmed"]
    bystanders = [net for net in world.state.networks.values() if net.asn != 64501]
    assert {m.interval for net in bystanders for m in net.members.values()} == {300_000}


def test_dns_and_tls_name_the_deepest_on_equal_support() -> None:
    world = World(vantages(2)).quiet()
    world.run(4, lambda n, who: blocked() if who.probe == A else INJECTED)
    assert world.only.technique == "tls.reset.sni"


def test_inconclusive_with_control_is_no_sample() -> None:
    unclear = says(State.INCONCLUSIVE)
    world = World(standard()).quiet().run(20, in_network(64501, unclear))
    assert world.events == {}


def test_imported_evidence_is_likely_at_most_and_says_why() -> None:
    people = [Vantage(f"p-{i}", "ooni", source="ooni") for i in range(3)]
    other = Vantage("p-other", "ooni", asn=64502, source="ooni")
    world = World([*people, other]).quiet()
    world.run(30, lambda n, who: ok() if who is other else blocked())
    event = world.only
    assert (event.tier, event.control, event.source) == (Tier.LIKELY, "none", "ooni")
    assert "no_quorum_for_imports" in event.against
    assert event.total == 1


def test_two_kinds_of_witnesses_of_one_block_open_events_that_name_each_other() -> None:
    """And what one of them says of the other changes nothing else of its event."""
    runs = [Vantage(f"p-{n}", "ooni", asn=n // 3 + 64501, source="ooni") for n in range(6)]
    ours = World(standard()).quiet().run(30, in_network(64501, blocked()))
    both = World([*standard(), *runs]).quiet().run(30, in_network(64501, blocked()))
    own, theirs = sorted(both.events.values(), key=lambda event: event.source == "ooni")
    (shown,) = own.beside
    assert (shown.event, shown.source, shown.tier) == (theirs.id, "ooni", Tier.LIKELY)
    assert [other.event for other in theirs.beside] == [own.id]
    assert replace(own, beside=(), updated=0) == replace(ours.only, updated=0)


def test_rounds_without_facts_change_nothing_but_the_round() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, blocked()))
    later, touched = step(world.state, world.round, (), POLICY)
    assert touched == ()
    later.round = world.state.round
    assert states.encode(later) == states.encode(world.state)


def test_silent_witnesses_do_not_close_an_event() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    world.run(300, lambda n, who: None if who.asn == 64501 else ok())
    assert world.only.state is EventState.OPEN


def test_liveness_facts_are_no_targets() -> None:
    world = World(standard())
    facts = [fact(who, START, blocked(), target=LIVENESS_INTERNATIONAL) for who in world.people]
    world.feed(facts)
    assert world.state.networks == {}


def test_rounds_must_ascend() -> None:
    state, _ = step(initial("wechat"), START, (), POLICY)
    with pytest.raises(ValueError, match="after round"):
        step(state, START, (), POLICY)


def test_ten_times_the_pace_is_the_same_at_a_tenth_of_the_time() -> None:
    scenes = [
        (3, in_network(0, ok())),
        (4, in_network(64501, blocked())),
        (14, in_network(64501, BLACKHOLE)),
        (4, in_network(0, ok())),
    ]
    slow, fast = World(standard()), faster(World(standard()), 10)
    for rounds, script in scenes:
        slow.run(rounds, script)
        fast.run(rounds, script)

    def shape(world: World) -> list[tuple[int, str, str, tuple[str, ...]]]:
        return [
            (e.updated * world.policy.pace, e.state, e.tier, tuple(c.kind for c in e.history))
            for e in world.emitted
        ]

    assert shape(slow) == shape(fast)
    assert slow.emitted
    assert fast.only.pace == 10


def test_ninety_quiet_days_do_not_grow_the_state() -> None:
    hour = 3_600_000
    world = World(vantages(2), interval=hour)
    sizes = []
    for day in range(90):
        world.run(24, lambda n, who: BLACKHOLE if (n * 2654435761) % 97 == 0 else ok())
        if day % 10 == 9:
            sizes.append(len(states.encode(world.state)))
    assert max(sizes[1:]) < 1.1 * sizes[1]
    assert max(sizes) < 12_000
    assert world.state.open_events == {}


def test_vantages_that_left_are_forgotten() -> None:
    hour = 3_600_000
    world = World(standard(), interval=hour).quiet()
    world.run(9 * 24, lambda n, who: ok() if who.country == "FR" else None)
    assert {network.country for network in world.state.networks.values()} == {"FR"}


@pytest.mark.parametrize(("left", "state"), [(2, "closed"), (1, "open")])
def test_an_event_does_not_outlive_the_vantages_that_saw_it(left: int, state: str) -> None:
    """They leave during the block; later ones see the service, and after a day that counts."""
    abroad = vantages(3, "FR", 64503)
    world = World([*vantages(3), *abroad]).quiet(80).run(10, in_network(64501, blocked()))
    assert world.only.tier == "confirmed"
    world.people = [*(Vantage(f"p-late{n}", f"late-{n}") for n in range(left)), *abroad]
    world.run(POLICY.ms(POLICY.quorum.lone_seconds) // INTERVAL, lambda n, who: ok())
    assert world.only.state == "open"
    world.run(3, lambda n, who: ok())
    assert world.only.state == state
