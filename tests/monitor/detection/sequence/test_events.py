from __future__ import annotations

import hashlib

from monitor.detection.model import EventState, State, Technique, Tier, Votes
from monitor.detection.sequence import confidence
from monitor.detection.sequence.events import MAX_HISTORY, event_id
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    START,
    TARGET,
    Vantage,
    World,
    blocked,
    by_probe,
    fact,
    in_network,
    ok,
    standard,
    vantages,
)

OTHER = "wechat/media"


def test_id_is_a_hash_of_service_country_and_first_alarmed_round() -> None:
    world = World(standard()).quiet().run(3, in_network(64501, blocked()))
    event = world.only
    words = f"wechat\0RU\0{event.opened}"
    assert event.id == hashlib.sha256(words.encode()).hexdigest()[:16]
    assert event_id("wechat", "RU", 1) != event_id("wechat", "RU", 1, "ooni")


def test_the_number_of_networks_and_targets_does_not_multiply_events() -> None:
    world = World(standard()).quiet()
    for _ in range(4):
        world.feed(
            fact(who, world.round, blocked() if who.country == "RU" else ok(), target=target)
            for who in world.people
            for target in (TARGET, OTHER)
        )
    assert (world.only.asns, world.only.targets) == ((64501, 64502), (OTHER, TARGET))
    assert (world.only.agreeing, world.only.total) == (6, 6)


def test_what_is_over_says_where_it_was_not_where_it_ended_last() -> None:
    world = World(standard()).quiet()

    def rounds(count: int, *failing: tuple[int, str]) -> None:
        for _ in range(count):
            world.feed(
                fact(
                    who,
                    world.round,
                    blocked() if (who.asn, target) in failing else ok(),
                    target=target,
                )
                for who in world.people
                for target in (TARGET, OTHER)
            )

    places = [(asn, target) for asn in (64501, 64502) for target in (TARGET, OTHER)]
    rounds(6, *places)
    rounds(10, places[0])
    # While it is open, it names what is still blocked.
    assert (world.only.state.value, world.only.asns, world.only.targets) == (
        "open",
        (64501,),
        (TARGET,),
    )
    rounds(10)
    assert (world.only.state.value, world.only.agreeing) == ("closed", 6)
    assert (world.only.asns, world.only.targets) == ((64501, 64502), (OTHER, TARGET))
    assert (world.only.networks_measured, world.only.targets_measured) == (2, 2)


def test_what_is_over_says_what_it_rested_on_when_most_agreed() -> None:
    # Rounds are closer than the good news lasts that an end needs, as with retests.
    world = World(standard(), interval=60_000).quiet(10).run(12, in_network(64501, blocked()))
    peak, sure = world.only, confidence.probability(world.only)
    assert (peak.tier, peak.agreeing, peak.total) == (Tier.CONFIRMED, 3, 3)
    forms = []
    for _ in range(12):
        world.run(1, lambda n, who: ok())
        forms.append(world.only)
    # While it ends it says how it was and how it is; its record is not that nobody ever saw it.
    between = [form for form in forms if form.state is EventState.CLEARING]
    assert between
    assert {form.agreeing for form in forms} == {3}
    assert between[-1].now == Votes(0, 3)
    assert {form.peak for form in between} == {Votes(3, 3)}
    assert confidence.probability(between[-1]) is not None
    over = forms[-1]
    assert over.now == Votes(0, 3)
    assert [change.kind for change in over.history][-2:] == ["clearing", "closed"]
    assert over.state is EventState.CLOSED
    assert (over.agreeing, over.total) == (3, 3)
    assert (over.networks, over.against) == (peak.networks, peak.against)
    assert sure is not None
    assert (confidence.probability(over) or 0) >= sure - 20


def test_what_seems_to_end_and_goes_on_is_open_again() -> None:
    world = World(standard(), interval=60_000).quiet(10).run(12, in_network(64501, blocked()))
    world.run(2, lambda n, who: ok())
    assert world.only.state is EventState.CLEARING
    assert world.only.ongoing
    world.run(2, in_network(64501, blocked()))
    assert (world.only.state, world.only.agreeing) == (EventState.OPEN, 3)
    kinds = [change.kind for change in world.only.history]
    assert kinds == ["opened", "likely", "confirmed", "clearing", "again"]


def test_one_good_round_of_a_partial_block_is_no_sign_of_its_end() -> None:
    world = World(standard()).quiet(10)
    world.run(36, lambda n, who: blocked() if who.asn == 64501 and n % 2 else ok())
    assert {event.state for event in world.emitted} == {EventState.OPEN}


def test_the_scope_is_told() -> None:
    """One of two functions, in one of two networks that measure it; a third measures the other."""
    people = [*standard(), *vantages(1, asn=64509)]
    world = World(people).quiet(3)
    for _ in range(6):
        world.feed(
            fact(
                who,
                world.round,
                blocked() if (who.asn, target) == (64501, TARGET) else ok(),
                target=target,
            )
            for who in people
            for target in (TARGET, OTHER)
            if (who.asn, target) != (64509, TARGET)
        )
    event = world.only
    assert event.targets == (TARGET,)
    assert (len(event.asns), event.networks_measured, event.targets_measured) == (1, 2, 2)


def test_countries_have_events_of_their_own() -> None:
    people = [*standard(), *vantages(3, "KZ", 64510), *vantages(3, "DE", 64520)]
    people += vantages(3, "JP", 64530)
    world = World(people).quiet()
    world.run(4, lambda n, who: blocked() if who.asn in (64501, 64510) else ok())
    assert {event.country for event in world.events.values()} == {"RU", "KZ"}


def test_a_target_that_recovers_leaves_the_event() -> None:
    world = World(standard()).quiet()

    def feed(rounds: int, bad: set[str]) -> None:
        for _ in range(rounds):
            world.feed(
                fact(
                    who,
                    world.round,
                    blocked() if who.asn == 64501 and target in bad else ok(),
                    target=target,
                )
                for who in world.people
                for target in (TARGET, OTHER)
            )

    feed(4, {TARGET, OTHER})
    counts = dict(world.only.rule_counts)
    feed(4, {TARGET})
    assert (world.only.state, world.only.targets) == (EventState.OPEN, (TARGET,))
    assert world.only.history[-1].note == f"-{OTHER}"
    assert dict(world.only.rule_counts)["tls.reset.sni"] > counts["tls.reset.sni"]
    feed(4, set())
    assert world.only.state is EventState.CLOSED
    assert world.only.targets == (TARGET,)


def test_onset_is_set_by_the_tier_and_not_moved_by_later_networks() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    onset = world.only.onset
    world.run(6, lambda n, who: blocked() if who.country == "RU" else ok())
    assert (world.only.asns, world.only.onset) == ((64501, 64502), onset)


def test_confirmed_event_ends_when_its_best_networks_have_lifted() -> None:
    """A lone vantage elsewhere does not keep a confirmed event open; it is its own story."""
    world = World(standard()).quiet()
    uncorroborated = "p-ru64502-0"

    def both(n: int, who: Vantage) -> object:
        return blocked() if who.asn == 64501 or who.probe == uncorroborated else ok()

    world.run(4, both)  # type: ignore[arg-type]
    world.run(6, by_probe({uncorroborated: blocked()}))
    first, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert (first.state, first.tier, first.asns) == (EventState.CLOSED, Tier.CONFIRMED, (64501,))
    assert (second.state, second.tier, second.asns) == (
        EventState.OPEN,
        Tier.UNCONFIRMED,
        (64502,),
    )


def test_untouched_countries_are_left_alone() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    touched = world.feed(
        fact(who, world.round, ok()) for who in world.people if who.country == "FR"
    )
    assert touched == ()
    assert world.only.state is EventState.OPEN


def test_one_doubtful_round_is_not_enough_to_retract() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, BLACKHOLE))
    for verdict in (DOWN, BLACKHOLE, DOWN, BLACKHOLE):
        world.run(1, in_network(64501, verdict))
    assert world.only.state is EventState.OPEN


def test_after_a_retraction_the_same_can_be_found_anew() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, BLACKHOLE))
    world.run(2, in_network(64501, DOWN)).quiet(3).run(3, in_network(64501, blocked()))
    first, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert first.state is EventState.RETRACTED
    assert (second.state, second.tier) == (EventState.OPEN, Tier.CONFIRMED)
    assert first.id != second.id


def test_updated_is_the_last_round_that_changed_it() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    last = START + 6 * INTERVAL
    assert world.only.updated == last
    world.feed(())
    assert world.only.updated == last


def test_history_is_bounded_and_keeps_its_milestones() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    names = (Technique.TLS_TIMEOUT_SNI, Technique.TLS_RESET_SNI)
    for turn in range(75):
        world.run(14, in_network(64501, blocked(names[turn % 2])))
    event = world.only
    assert len(event.history) == MAX_HISTORY
    assert [change.kind for change in event.history[:3]] == ["opened", "likely", "confirmed"]
    assert event.history[-1].kind == "changed"


def test_extent_changes_with_what_fails() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked(state=State.IMPAIRED)))
    assert world.only.extent == "partial"
    world.run(12, in_network(64501, blocked()))
    assert world.only.extent == "full"
    assert world.only.history[-1].note == "partial -> full"
