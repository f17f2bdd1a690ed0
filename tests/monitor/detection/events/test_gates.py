from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from monitor.detection.events import gates
from monitor.detection.events.fold import step
from monitor.detection.events.gates import fresh, may_vote, outcome, uncorroborated
from monitor.detection.events.outages import inhibitions, reports_of
from monitor.detection.events.state import (
    Baseline,
    Member,
    Series,
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.judge.imported_run import judge
from monitor.detection.model import State, Technique, Verdict
from probes.wire.observation import AnyObservation
from tests.monitor.detection.imported_runs import dc, measurement, record
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    TARGET,
    UNCONTROLLED,
    UNSEEN,
    Vantage,
    World,
    blocked,
    fact,
    in_network,
    ok,
    says,
    vantages,
)

HOUR = 3_600_000
UNKNOWN = says(State.INCONCLUSIVE, "no_control", "no_liveness")
SIGNED = structs.replace(blocked(), evidence=("name_fails_anywhere",))


@pytest.mark.parametrize(
    ("verdict", "control", "expected"),
    [
        (ok(), True, VantageOutcome.GOOD),
        (ok(), False, VantageOutcome.GOOD),
        (blocked(), True, VantageOutcome.BAD),
        (blocked(), False, VantageOutcome.UNSUPPORTED),
        (blocked(state=State.IMPAIRED), True, VantageOutcome.BAD),
        (DOWN, True, VantageOutcome.DOWN),
        (OFFLINE, True, VantageOutcome.OFFLINE),
        (says(State.INCONCLUSIVE), True, VantageOutcome.UNTOLD),
        (says(State.INCONCLUSIVE), False, VantageOutcome.UNSUPPORTED),
        (says(State.INCONCLUSIVE, "no_liveness"), True, VantageOutcome.UNSEEN),
        (says(State.INCONCLUSIVE, "no_liveness"), False, VantageOutcome.UNKNOWN),
        (says(State.DOWN, "no_liveness"), True, VantageOutcome.UNKNOWN),
        (says(State.INCONCLUSIVE, "tls_interception"), True, VantageOutcome.SILENT),
        (says(State.INSUFFICIENT), True, VantageOutcome.SILENT),
    ],
)
def test_outcome(verdict: Verdict, control: bool, expected: str) -> None:
    assert outcome(fact(vantages(1)[0], START, verdict, control=control)) == expected


def reasons(said: dict[tuple[str, int], Verdict | None], people: list[Vantage]) -> dict[int, str]:
    """Which networks are inhibited when, after quiet rounds, each network says this."""
    world = World(people).quiet()
    state = world.state
    facts = [
        fact(who, world.round, verdict)
        for who in people
        if (verdict := said.get((who.country, who.asn), ok())) is not None
    ]
    state, _ = step(state, world.round, facts, POLICY)
    found = inhibitions(state, state.networks.keys(), world.round, POLICY)
    return {state.networks[key].asn: why for key, why in found.items()}


def fleet(abroad: int, each: int = 1) -> list[Vantage]:
    people = vantages(3)
    for n in range(abroad):
        people += vantages(each, ("FR", "DE", "JP", "BR", "KE", "IN", "US")[n], 64600 + n)
    return people


def failing(n: int, verdict: Verdict = BLACKHOLE) -> dict[tuple[str, int], Verdict | None]:
    countries = ("FR", "DE", "JP", "BR", "KE", "IN", "US")
    return {("RU", 64501): BLACKHOLE} | {(countries[i], 64600 + i): verdict for i in range(n)}


@pytest.mark.parametrize(
    ("abroad", "each", "bad", "closed"),
    [
        (0, 1, 0, False),  # nobody to compare with: the control alone must tell
        (1, 1, 1, False),  # one failing vantage abroad says nothing
        (1, 2, 1, False),  # nor do two strangers, though they are all that there is
        (1, 3, 1, True),  # nobody but the control reaches the service
        (2, 1, 2, False),
        (2, 2, 1, False),
        (2, 2, 2, True),
        (3, 1, 1, False),  # a third is above the share, but it may be a second block
        (3, 1, 2, False),
        (3, 1, 3, True),
        (3, 2, 2, True),
        (7, 2, 2, False),
        (7, 1, 3, True),
    ],
)
def test_service_down_elsewhere(abroad: int, each: int, bad: int, closed: bool) -> None:
    found = reasons(failing(bad), fleet(abroad, each))
    assert (found.get(64501) == "service_down") is closed


def test_networks_of_the_same_country_are_not_elsewhere() -> None:
    people = [p for n in range(6) for p in vantages(1, "RU", 64501 + n)]
    said: dict[tuple[str, int], Verdict | None] = {("RU", 64501 + n): BLACKHOLE for n in range(6)}
    assert reasons(said, people) == {}


def test_losing_the_control_elsewhere_does_not_open_the_gate() -> None:
    assert reasons(failing(2, UNCONTROLLED), fleet(2, 2))[64501] == "endpoint_stale"
    assert reasons(failing(2, says(State.INCONCLUSIVE)), fleet(2, 2))[64501] == "service_down"


@pytest.mark.parametrize("verdict", [UNSEEN, UNKNOWN])
def test_missing_liveness_elsewhere_is_no_evidence(verdict: Verdict) -> None:
    assert 64501 not in reasons(failing(3, verdict), fleet(3, 3))
    assert 64501 not in reasons(failing(3, verdict), fleet(4, 3))


def test_vantages_abroad_that_always_fail_shut_no_gate() -> None:
    people = [*vantages(3), *vantages(2, "FR", 64600, enrolled=START)]
    people += vantages(2, "DE", 64601, enrolled=START)

    def script(n: int, who: Vantage) -> Verdict:
        return BLACKHOLE if who.country != "RU" else ok()

    world = World(people).run(80, script).run(3, lambda n, who: BLACKHOLE)
    assert world.only.country == "RU"


@pytest.mark.parametrize(("hours", "shut"), [(4, True), (20, True), (25, False)])
def test_a_confirmed_block_abroad_shuts_the_gate_for_a_day(hours: int, shut: bool) -> None:
    """Nobody else is watched, so it may be the first region of a change."""
    people = [*vantages(3), *vantages(3, "FR", 64503)]
    world = World(people, interval=6 * INTERVAL).quiet(10).run(4, in_network(64503, blocked()))
    assert world.only.country == "FR"
    world.run(2 * hours - 4, in_network(64503, blocked()))
    world.run(4, lambda n, who: blocked())
    assert {event.country for event in world.events.values()} == ({"FR"} if shut else {"FR", "RU"})


COUNTRIES = ("FR", "DE", "JP", "BR", "KE", "IN", "US", "MX")


@pytest.mark.parametrize("verdict", [BLACKHOLE, blocked(), blocked(Technique.TLS_MITM_CA_SIGNED)])
@pytest.mark.parametrize("hours", [1, 4, 7])
@pytest.mark.parametrize(("countries", "told"), [(4, 2), (8, 3)])
def test_a_change_region_by_region_closes_the_gate_for_the_later_regions(
    verdict: Verdict, hours: int, countries: int, told: int
) -> None:
    """A new certificate, or an outage that rolls over countries and stays. The first regions cannot
    be told from blocks; no later one is called blocked."""
    people = [
        person
        for number, country in enumerate(COUNTRIES[:countries])
        for person in vantages(3, country, 64600 + number)
    ]
    world = World(people, interval=6 * INTERVAL).quiet(10)

    def staggered(n: int, who: Vantage) -> Verdict:
        return verdict if n - 10 >= 2 * hours * (who.asn - 64600) else ok()

    world.run(2 * hours * countries + 16, staggered)
    confirmed = {event.country for event in world.events.values() if event.confirmed is not None}
    assert confirmed <= set(COUNTRIES[:told])


def test_a_second_block_within_hours_is_confirmed_where_enough_countries_are_watched() -> None:
    people = [p for n, country in enumerate(COUNTRIES[:6]) for p in vantages(3, country, 64600 + n)]
    world = World(people, interval=6 * INTERVAL).quiet(10).run(10, in_network(64600, blocked()))
    world.run(10, lambda n, who: blocked() if who.asn in (64600, 64601) else ok())
    confirmed = {event.country for event in world.events.values() if event.confirmed is not None}
    assert confirmed == {"FR", "DE"}


def test_gate_stays_shut_for_a_window() -> None:
    people = fleet(2, 2)
    world = World(people).quiet().run(1, lambda n, who: BLACKHOLE)
    world.run(1, in_network(64501, BLACKHOLE))
    network = next(n for n in world.state.networks.values() if n.asn == 64501)
    assert network.inhibited_until >= START + 4 * INTERVAL
    assert all(series.rank == 0 for series in network.layers.values())


def test_stale_endpoint_needs_a_share_of_networks_and_owners() -> None:
    people = fleet(7)
    assert 64501 not in reasons(failing(2, DOWN), people)
    assert reasons(failing(3, DOWN), people)[64501] == "endpoint_stale"
    assert reasons(failing(3, DOWN), [replace(p, owner="one") for p in people]) == {}


@pytest.mark.parametrize(
    ("offline", "elsewhere_offline", "expected"),
    [(3, False, None), (5, False, "asn_dark"), (5, True, "country_dark")],
)
def test_dark_networks(offline: int, elsewhere_offline: bool, expected: str | None) -> None:
    people = [*vantages(6), *vantages(3, asn=64502)]
    world = World(people).quiet()
    facts = [
        fact(
            who,
            world.round,
            OFFLINE
            if (who.asn == 64501 and int(who.probe[-1]) < offline)
            or (who.asn == 64502 and elsewhere_offline)
            else ok(),
        )
        for who in people
    ]
    state, _ = step(world.state, world.round, facts, POLICY)
    found = inhibitions(state, state.networks.keys(), world.round, POLICY)
    keys = {state.networks[key].asn: why for key, why in found.items()}
    assert keys.get(64501) == expected


def test_a_member_is_fresh_for_a_window_or_two_intervals() -> None:
    member = Member("o", 0, 300_000, START, VantageOutcome.GOOD)
    assert fresh(member, START + 600_000, POLICY)
    assert not fresh(member, START + 600_001, POLICY)


@pytest.mark.parametrize(
    ("country", "asn", "age", "failed", "vote"),
    [
        ("RU", 1, 6 * HOUR, 0, True),
        ("RU", 1, 6 * HOUR - 1, 0, False),
        ("ZZ", 1, 6 * HOUR, 0, False),
        ("RU", 0, 6 * HOUR, 0, False),
        ("RU", 1, 6 * HOUR, 900, False),
    ],
)
def test_votes(country: str, asn: int, age: int, failed: int, vote: bool) -> None:
    network = TargetNetwork(TARGET, country, asn, "probe")
    member = Member("o", START - age, INTERVAL, START, VantageOutcome.GOOD)
    track = Track(Baseline(2000, failed))
    assert may_vote(network, member, track, START, POLICY) is vote


def test_lone_only_after_long_and_without_agreement() -> None:
    track = Track(Baseline(), 0, 0, Suspicion([0], [0], [0], alarmed=START))
    later = START + POLICY.ms(POLICY.quorum.lone_seconds) + 1
    assert uncorroborated(Series(rank=1), track, later, POLICY)
    assert not uncorroborated(Series(rank=1), track, later - 1, POLICY)
    assert not uncorroborated(Series(rank=2), track, later, POLICY)
    assert not uncorroborated(Series(rank=1), Track(Baseline()), later, POLICY)


def test_elsewhere_of_an_unknown_target_is_empty() -> None:
    assert list(reports_of(ServiceState(service="a"), "a/b", START, POLICY)) == []


def test_one_owner_in_a_third_of_all_networks_closes_no_gate() -> None:
    people = [replace(p, owner="one") if p.asn % 100 < 3 else p for p in fleet(7)]
    assert reasons(failing(3, DOWN), people) == {}
    many = fleet(7) + [Vantage(f"p-{n}", "one", "FR", 64600) for n in range(20)]
    assert reasons(failing(1, DOWN), many) == {}


def silenced(liars: list[Vantage], verdict: Verdict) -> bool:
    """Whether liars keep a plain block in RU from being confirmed."""
    people = [*vantages(3), *vantages(3, "FR", 64503)]
    world = World(people).quiet(80)
    for _ in range(12):
        facts = [fact(p, world.round, blocked() if p.asn == 64501 else ok()) for p in people]
        world.feed([*facts, *(fact(liar, world.round, verdict) for liar in liars)])
    return not any(e.country == "RU" and e.tier == "confirmed" for e in world.events.values())


NEW = START + 80 * INTERVAL
PLACES = (("DE", 65001), ("JP", 65002), ("BR", 65003), ("KE", 65004))


LIES = [DOWN, says(State.INCONCLUSIVE), UNCONTROLLED, blocked(), UNSEEN, UNKNOWN]


@pytest.mark.parametrize("verdict", LIES)
@pytest.mark.parametrize("owners", [("liar", "liar"), ("liar", "another")])
def test_two_vantages_in_two_countries_silence_nobody(
    verdict: Verdict, owners: tuple[str, str]
) -> None:
    """Of one owner or of two, with or without liveness, control or age."""
    places = zip(owners, PLACES, strict=False)
    assert not silenced([Vantage(f"p-{c}", o, c, asn) for o, (c, asn) in places], verdict)


@pytest.mark.parametrize("verdict", LIES)
def test_two_strangers_are_not_the_world(verdict: Verdict) -> None:
    """Also where nobody else is abroad."""
    liars = [Vantage(f"p-{c}", f"o-{c}", c, asn) for c, asn in PLACES[:2]]
    world = World(vantages(3)).quiet(80)
    for _ in range(12):
        facts = [fact(p, world.round, blocked()) for p in world.people]
        world.feed([*facts, *(fact(liar, world.round, verdict) for liar in liars)])
    events = [event for event in world.events.values() if event.country == "RU"]
    assert [event.tier for event in events] == ["confirmed"]


def test_a_confirmed_event_is_marked_by_an_outage_elsewhere_and_stays() -> None:
    people = [*vantages(3), *vantages(3, "FR", 64503), *vantages(3, "DE", 64504)]
    world = World(people).quiet(80).run(6, in_network(64501, blocked()))
    world.run(20, lambda n, who: blocked() if who.asn == 64501 else DOWN)
    event = next(event for event in world.events.values() if event.country == "RU")
    assert (event.tier, event.state) == ("confirmed", "open")
    assert event.inhibited_by == "endpoint_stale"
    assert event.stands


@pytest.mark.parametrize("verdict", [DOWN, says(State.INCONCLUSIVE), UNCONTROLLED, blocked()])
@pytest.mark.parametrize("enrolled", [0, NEW])
def test_one_vantage_in_many_places_shuts_no_gate(verdict: Verdict, enrolled: int) -> None:
    liars = [Vantage("p-liar", "liar", c, asn, enrolled=enrolled) for c, asn in PLACES]
    assert not silenced(liars, verdict)


def test_vantages_without_a_vote_shut_no_gate() -> None:
    young = [Vantage(f"p-{c}", f"new-{c}", c, asn, enrolled=NEW) for c, asn in PLACES]
    nowhere = [Vantage(f"p-{n}", f"nobody-{n}", "ZZ", n) for n in range(4)]
    assert not silenced(young, DOWN)
    assert not silenced(nowhere, DOWN)


@pytest.mark.parametrize("enrolled", [0, NEW])
def test_nobody_darkens_a_network_by_numbers(enrolled: int) -> None:
    liars = [Vantage(f"p-liar{n}", "liar", enrolled=enrolled) for n in range(20)]
    assert not silenced(liars, OFFLINE)


def test_nobody_outvotes_others_by_numbers() -> None:
    assert not silenced([Vantage(f"p-liar{n}", "liar") for n in range(20)], ok())


def test_one_long_interval_does_not_keep_the_gate_shut() -> None:
    people = fleet(2, 2)
    world = World(people).quiet()
    slow = Vantage("p-slow", "slow")
    world.feed(
        [fact(p, world.round, BLACKHOLE) for p in people]
        + [fact(slow, world.round, BLACKHOLE, interval=86_400_000)]
    )
    network = next(n for n in world.state.networks.values() if n.asn == 64501)
    assert network.inhibited_until == world.round


def run(seen: list[AnyObservation], passed: int = 9) -> Verdict:
    """The verdict on an imported run, which needs no control."""
    return judge(measurement([*seen, record(passed)]))


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (ok(), ""),
        (blocked(), ""),
        (says(State.BLOCKED, "late"), "late"),
        (says(State.OK, "no_control", "late"), "late"),
        (says(State.INCONCLUSIVE, "no_control"), "no_control"),
        (says(State.INCONCLUSIVE, "clock_wrong"), "clock_wrong"),
        (says(State.INCONCLUSIVE, "partial:ipv6"), "inconclusive"),
        (says(State.DOWN), "down"),
        (run(dc(6)), ""),
        (run(dc(6), passed=0), ""),
        (run([]), "insufficient"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.state,
)
def test_why_a_measurement_is_no_evidence(verdict: Verdict, reason: str) -> None:
    assert gates.not_counted(verdict) == reason


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
@pytest.mark.parametrize("control", [True, False], ids=["control", "none"])
def test_a_failure_that_is_called_no_evidence_is_none(state: State, control: bool) -> None:
    """Only one that counts adds to a vantage's evidence; the gates count others as well."""
    verdict = structs.replace(blocked(), state=state)
    world = World(vantages(1)).quiet()
    folded, _ = step(
        world.state,
        world.round,
        [fact(world.people[0], world.round, verdict, control=control)],
        POLICY,
    )
    (network,) = folded.networks.values()
    tracks = [track for layer in network.layers.values() for track in layer.tracks.values()]
    counts = any(track.suspicion is not None for track in tracks)
    assert counts is (control and state is not State.OK and not gates.not_counted(verdict))
    if counts:
        assert outcome(fact(vantages(1)[0], START, verdict)) is VantageOutcome.BAD


@pytest.mark.parametrize(
    ("said", "since", "cause"),
    [
        ([ok()], 0, 0),
        ([SIGNED], 1, 2),
        ([SIGNED, BLACKHOLE], 1, 0),
        ([SIGNED, UNCONTROLLED], 1, 2),
        ([SIGNED, OFFLINE, BLACKHOLE], 1, 0),
        ([SIGNED, ok()], 0, 0),
        ([SIGNED, ok(), SIGNED], 3, 2),
    ],
    ids=["none", "one", "another", "uncontrolled", "offline between", "reached", "again"],
)
def test_since_when_a_vantage_fails_and_what_that_shows(
    said: list[Verdict], since: int, cause: int
) -> None:
    world = World(vantages(1)).run(len(said), lambda n, who: said[n])
    (network,) = world.state.networks.values()
    (member,) = network.members.values()
    assert member.failing == (since and START + (since - 1) * INTERVAL)
    assert int(member.cause) == cause
