from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events import confidence
from monitor.detection.events.confidence import DOUBTED_MOST, probability
from monitor.detection.layers.dns_origin import MADE_UP, OTHERS_ANSWER
from monitor.detection.model import (
    BY_OPERATOR,
    Difference,
    EventState,
    Layer,
    Retraction,
    Technique,
    Tier,
    Votes,
)
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INJECTED,
    INTERVAL,
    START,
    TARGET,
    Script,
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
FORGED = replace(INJECTED, evidence=(MADE_UP, OTHERS_ANSWER))


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
    while world.only.ongoing:
        world.run(1, lambda n, who: ok())
        forms.append(world.only)
    assert 12 <= len(forms) <= 15
    # While it ends it says how it was and how it is; its record is not that nobody ever saw it.
    between = [form for form in forms if form.state is EventState.CLEARING]
    assert between
    assert {form.agreeing for form in forms} == {3}
    assert between[-1].now == Votes(0, 3)
    assert {form.peak for form in between} == {Votes(3, 3)}
    over = forms[-1]
    assert over.now == Votes(0, 3)
    assert [change.kind for change in over.history][-2:] == ["clearing", "closed"]
    assert over.state is EventState.CLOSED
    assert (over.agreeing, over.total) == (3, 3)
    assert (over.networks, over.against) == (peak.networks, peak.against)
    assert sure is not None
    assert {confidence.probability(form) for form in forms} == {sure}
    assert {(form.rests_on, form.against) for form in between} == {(peak.networks, peak.against)}


@pytest.mark.parametrize(("interval", "pauses"), [(60_000, 5), (INTERVAL, 3)])
def test_how_sure_a_block_is_does_not_fall_while_it_pauses_and_ends(
    interval: int, pauses: int
) -> None:
    world = World([*vantages(5), *vantages(3, "FR", 64503)], interval=interval).quiet(10)
    failing, first = in_network(64501, FORGED), world.people[0].probe

    def said(rounds: int, script: Script) -> list[tuple[str, int | None, Votes]]:
        forms = []
        for _ in range(rounds):
            if not world.events or world.only.ongoing:
                world.run(1, script)
            if world.events:
                event = world.only
                forms.append((f"{event.state} {event.tier}", probability(event), event.now))
        return forms

    begins = said(14, failing)
    assert [state for state, _, _ in begins][-1] == "open confirmed"
    figures = [figure or 0 for _, figure, _ in begins]
    assert figures == sorted(figures), "the more is known"
    sure = figures[-1]
    assert sure > DOUBTED_MOST
    pause = said(pauses, lambda n, who: FORGED if who.probe == first else ok())
    assert "clearing confirmed" in {state for state, _, _ in pause}
    assert Votes(1, 5) in {now for state, _, now in pause if state == "clearing confirmed"}
    returns = said(5, failing)
    assert [state for state, _, _ in returns][-1] == "open confirmed"
    assert "again" in world.kinds()
    ends = said(60, lambda n, who: ok())
    assert [state for state, _, _ in ends][-1] == "closed confirmed"
    for before, after in ((begins, pause), (returns, ends)):
        clearing = {figure for state, figure, _ in after if state == "clearing confirmed"}
        assert clearing == {before[-1][1]}
    assert ends[-1][1] == returns[-1][1] is not None
    # A few of its measurements passed in the pause.
    assert sure - 20 <= returns[-1][1] <= sure
    assert all(figure == sure for _, figure, now in pause if not now.agreeing)


@pytest.mark.parametrize(("size", "well", "over"), [(5, 2, False), (5, 3, True), (10, 3, False)])
def test_a_few_do_not_end_a_block_while_all_others_are_silent(
    size: int, well: int, over: bool
) -> None:
    """One of ten did, when the others were off for the night: it takes as many owners as a
    confirmation."""
    world = World([*vantages(size), *vantages(3, "FR", 64503)]).quiet()
    world.run(5, in_network(64501, blocked()))
    assert world.only.tier is Tier.CONFIRMED
    seen = {who.probe for who in world.people[:well]} | {who.probe for who in world.people[size:]}
    world.run(24, lambda n, who: ok() if who.probe in seen else None)
    assert world.only.state is (EventState.CLOSED if over else EventState.OPEN)


def test_many_vantages_of_one_owner_do_not_end_what_others_saw_and_still_see() -> None:
    many = [Vantage(f"p-own-{n}", "one") for n in range(8)]
    world = World([*vantages(5), *many, *vantages(3, "FR", 64503)]).quiet()
    world.run(5, in_network(64501, blocked()))
    still = {who.probe for who in world.people[:5]}
    world.run(12, lambda n, who: blocked() if who.probe in still else ok())
    assert world.only.state is EventState.OPEN


def test_a_day_later_those_who_are_left_end_it() -> None:
    world = World([*vantages(5), *vantages(3, "FR", 64503)]).quiet()
    world.run(5, in_network(64501, blocked()))
    gone = {who.probe for who in world.people[1:5]}
    world.run(12 * 24 + 12, lambda n, who: None if who.probe in gone else ok())
    assert world.only.state is EventState.CLOSED


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


def test_countries_have_events_of_their_own() -> None:
    people = [*standard(), *vantages(3, "KZ", 64510), *vantages(3, "DE", 64520)]
    people += vantages(3, "JP", 64530)
    world = World(people).quiet()
    world.run(4, lambda n, who: blocked() if who.asn in (64501, 64510) else ok())
    assert {event.country for event in world.events.values()} == {"RU", "KZ"}


def test_a_target_that_recovers_leaves_the_event_until_all_is_over() -> None:
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
    feed(6, {TARGET})
    assert (world.only.state, world.only.targets) == (EventState.OPEN, (TARGET,))
    assert world.only.history[-1].difference == Difference(targets_removed=(OTHER,))
    assert dict(world.only.rule_counts)["tls.reset.sni"] > counts["tls.reset.sni"]
    feed(6, set())
    assert world.only.state is EventState.CLOSED
    assert world.only.targets == (OTHER, TARGET)


def test_confirmed_event_ends_when_its_best_networks_have_lifted() -> None:
    """A lone vantage elsewhere does not keep a confirmed event open; it is its own story."""
    world = World(standard()).quiet()
    uncorroborated = "p-ru64502-0"

    def both(n: int, who: Vantage) -> object:
        return blocked() if who.asn == 64501 or who.probe == uncorroborated else ok()

    world.run(4, both)  # type: ignore[arg-type]
    world.run(7, by_probe({uncorroborated: blocked()}))
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


@pytest.mark.parametrize("well", [0, 2], ids=["while it lasts", "while it is clearing"])
def test_a_false_event_that_was_sure_has_no_figure_once_it_is_retracted(well: int) -> None:
    world = World([*vantages(5), *vantages(3, "FR", 64503)]).quiet()
    world.run(5, in_network(64501, FORGED)).quiet(well)
    assert world.only.state is (EventState.CLEARING if well else EventState.OPEN)
    assert (probability(world.only) or 0) > DOUBTED_MOST
    layer = (TARGET, 64501, world.only.rests_on[0].layer)
    world.retractions[world.only.id] = Retraction(world.round - 1, (layer,))
    world.quiet(1)
    assert (world.only.state, probability(world.only)) == (EventState.RETRACTED, None)


RESET_64501 = in_network(64501, blocked())


def retracted() -> World:
    """A confirmed event of AS64501 that an operator retracted."""
    world = World(standard()).quiet().run(4, RESET_64501)
    assert world.only.tier is Tier.CONFIRMED
    world.retractions[world.only.id] = Retraction(world.round - 1, ((TARGET, 64501, "tls"),))
    return world


@pytest.mark.parametrize(
    "more",
    [
        lambda n, who: blocked() if who.country == "RU" else ok(),
        in_network(64501, blocked(Technique.DNS_NXDOMAIN, Layer.DNS)),
    ],
    ids=["another network", "another layer"],
)
def test_what_an_operator_retracted_is_silent_and_all_else_is_not(
    more: Script,
) -> None:
    world = retracted().run(4, RESET_64501)
    (said,) = world.retractions.values()
    assert world.only.state is EventState.RETRACTED
    assert (world.only.history[-1].round, world.only.history[-1].cause) == (said.at, BY_OPERATOR)
    assert not world.state.open_events
    world.run(4, more)
    first, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert first.state is EventState.RETRACTED
    assert (second.state, second.tier, second.agreeing) == (EventState.OPEN, Tier.CONFIRMED, 3)
    (seen,) = second.networks
    assert (seen.asn, seen.layer) != (64501, "tls")
    assert second.onset > first.onset
    assert {seen.asn} == set(second.asns)


def test_what_an_operator_did_not_see_when_retracting_becomes_another_event_at_once() -> None:
    world = World(standard()).quiet().run(4, RESET_64501)
    shown = world.only
    world.run(4, lambda n, who: blocked() if who.country == "RU" else ok())
    assert world.only.asns == (64501, 64502)
    world.retractions[shown.id] = Retraction(world.round - 1, ((TARGET, 64501, "tls"),))
    world.feed(fact(who, world.round, ok()) for who in world.people if who.country == "FR")
    assert world.only.state is EventState.OPEN  # nobody of the country reported
    world.run(1, lambda n, who: blocked() if who.country == "RU" else ok())
    first, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert (first.id, first.state) == (shown.id, EventState.RETRACTED)
    assert (second.state, second.tier, second.asns) == (EventState.OPEN, Tier.CONFIRMED, (64502,))


def test_what_was_retracted_adds_nothing_to_another_event_when_it_ends() -> None:
    other = blocked(Technique.TLS_TIMEOUT_SNI)
    world = retracted().run(4, lambda n, who: {64501: blocked(), 64502: other}.get(who.asn, ok()))
    world.run(12, in_network(64502, other)).quiet(12)
    _, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert (second.state, second.asns) == (EventState.CLOSED, (64502,))
    assert [rule for rule, _ in second.rule_counts] == [Technique.TLS_TIMEOUT_SNI]


def test_a_retraction_ends_with_its_failures() -> None:
    world = retracted().run(3, RESET_64501).quiet(12)
    assert world.only.state is EventState.RETRACTED
    world.run(4, RESET_64501)
    first, second = sorted(world.events.values(), key=lambda event: event.opened)
    assert (first.state, second.state) == (EventState.RETRACTED, EventState.OPEN)
    assert (second.asns, second.tier) == ((64501,), Tier.CONFIRMED)


def test_updated_is_the_last_round_that_changed_it() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    last = START + 6 * INTERVAL
    assert world.only.updated == last
    world.feed(())
    assert world.only.updated == last
