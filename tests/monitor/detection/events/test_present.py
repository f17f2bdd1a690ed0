"""The present state: a majority of the newest verdicts."""

from __future__ import annotations

from itertools import permutations
from operator import attrgetter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.events.present import LatestVerdict, leading, states_in_order, worst
from monitor.detection.model import EventState, State, Technique, Tier, Verdict
from tests.monitor.store.samples import event


def sight(
    state: State, probe: str = "a", round: int = 1, asn: int = 1, technique: str | None = None
) -> LatestVerdict:
    return LatestVerdict(
        target="wechat/web",
        country="RU",
        asn=asn,
        probe=probe,
        round=round,
        verdict=Verdict(
            target="wechat/web",
            state=state,
            rule=f"rule.{state}",
            technique=Technique(technique) if technique else None,
        ),
    )


def test_the_majority_names_the_state() -> None:
    (row,) = states_in_order(
        [sight(State.BLOCKED, "a"), sight(State.OK, "b"), sight(State.BLOCKED, "c", 3)]
    )
    assert (row.state, row.agreeing, row.vantages, row.round) == (State.BLOCKED, 2, 3, 3)
    assert row.rule == "rule.blocked"


def test_on_a_tie_the_one_that_people_would_want_to_know() -> None:
    (row,) = states_in_order([sight(State.OK, "a"), sight(State.BLOCKED, "b")])
    assert row.state is State.BLOCKED


def test_those_who_say_nothing_do_not_vote() -> None:
    offline = [sight(State.VANTAGE_OFFLINE, p) for p in "abc"]
    (row,) = states_in_order([*offline, sight(State.OK, "d")])
    assert (row.state, row.agreeing, row.vantages) == (State.OK, 1, 1)
    (row,) = states_in_order(offline)
    assert (row.state, row.agreeing, row.vantages) == (State.VANTAGE_OFFLINE, 0, 0)


def test_the_commonest_technique_is_named() -> None:
    techniques = ["tcp.timeout", "tls.reset.sni", "tls.reset.sni"]
    named = zip("abc", techniques, strict=True)
    (row,) = states_in_order(sight(State.BLOCKED, probe, technique=each) for probe, each in named)
    assert row.technique == "tls.reset.sni"


def test_networks_are_never_pooled() -> None:
    rows = states_in_order([sight(State.OK, "b", asn=1), sight(State.BLOCKED, asn=2)])
    assert [(row.asn, row.state) for row in rows] == [(1, State.OK), (2, State.BLOCKED)]
    assert states_in_order([]) == []


@given(
    st.lists(
        st.builds(
            sight,
            st.sampled_from(State),
            probe=st.sampled_from("abcd"),
            round=st.integers(1, 3),
            asn=st.integers(1, 2),
        ),
        max_size=12,
        unique_by=lambda s: (s.probe, s.asn),
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_vantages_does_not_matter(sights: list[LatestVerdict], random: object) -> None:
    mixed = list(sights)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    rows = states_in_order(sorted(sights, key=attrgetter("asn")))
    assert states_in_order(sorted(mixed, key=attrgetter("asn"))) == rows
    for row in rows:
        assert row.agreeing <= row.vantages
        assert (row.vantages == 0) == (row.state in (State.VANTAGE_OFFLINE, State.INSUFFICIENT))


def test_the_worst_rows_are_chosen_and_stay_in_order() -> None:
    states = [State.OK, State.DOWN, State.VANTAGE_OFFLINE, State.BLOCKED, State.OK]
    rows = states_in_order(sight(state, asn=n) for n, state in enumerate(states))
    assert [row.asn for row in worst(rows, 3)] == [0, 1, 3]
    assert worst(rows, 5) is rows
    assert worst(rows, 0) == []


def test_the_event_that_speaks_for_a_place_stands_and_is_the_surest() -> None:
    open_likely = event("01", tier=Tier.LIKELY, onset=9)
    clearing = event("02", tier=Tier.CONFIRMED, state=EventState.CLEARING, onset=5)
    inhibited = event("03", tier=Tier.LIKELY, inhibited_by="service_down", onset=10)
    over = event("04", tier=Tier.CONFIRMED, state=EventState.CLOSED, onset=11)
    for some in permutations((open_likely, clearing, inhibited, over)):
        assert leading(some) is clearing
    assert leading((inhibited, over)) is inhibited
    older, newer = (
        event(id, tier=Tier.CONFIRMED, onset=onset) for id, onset in (("9", 1), ("5", 2))
    )
    assert leading((older, newer, clearing)) is newer
    assert leading(()) is None


def test_of_two_that_are_as_sure_one_of_our_vantages_leads() -> None:
    own = event("0000000000000001", onset=1)
    runs = replace(own, id="0000000000000002", source="ooni", onset=2)
    assert leading([own, runs]) is leading([runs, own]) is own
    surer = replace(own, tier=Tier.UNCONFIRMED)
    assert leading([surer, runs]) is runs
