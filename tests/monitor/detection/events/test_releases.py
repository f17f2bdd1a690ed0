"""Failures that follow a release of the probe."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.fold import initial, step
from monitor.detection.events.releases import follows_release
from monitor.detection.events.state import Member, ServiceState, TargetNetwork, VantageOutcome
from monitor.detection.policy import Policy
from tests.monitor.detection.worlds import INTERVAL, START, blocked, fact, ok, vantages

ROUND = 1_800_000_000_000
FAILING = ("p1", "p2")


def members(releases: str, outcome: VantageOutcome, age: int = 0) -> dict[str, Member]:
    """One vantage of each release (a digit), which reported so long ago."""
    return {
        f"{outcome}{n}": Member("o", 0, INTERVAL, ROUND - age, outcome, release=release)
        for n, release in enumerate(releases)
    }


def follows(here: str, *, country: str = "", abroad: str = "", age: int = 0) -> bool:
    """Whether two failing vantages follow their release 3. `here`: who reaches it in their network,
    `country`: in another one of the country, `abroad`: in another country."""
    bad = {probe: Member("o", 0, INTERVAL, ROUND, "bad", release="3") for probe in FAILING}
    good = VantageOutcome.GOOD
    network = TargetNetwork("t", "AA", 1, "probe", {**bad, **members(here, good, age)}, {})
    others = (
        TargetNetwork("t", "AA", 2, "probe", members(country, good), {}),
        TargetNetwork("t", "BB", 3, "probe", members(abroad, good), {}),
        TargetNetwork("another", "BB", 3, "probe", members("3", good), {}),
    )
    networks = {str(n): one for n, one in enumerate((network, *others))}
    state = ServiceState(service="s", networks=networks, open_events={})
    return follows_release(state, network, FAILING, ROUND, Policy())


@pytest.mark.parametrize(
    ("passing", "expected"),
    [
        ({"here": "22"}, True),
        ({"here": "2", "country": "1"}, True),
        ({"here": "22", "abroad": "12"}, True),
        ({"here": "22", "abroad": "3"}, False),
        ({"here": "22", "country": "3"}, False),
        ({"here": "223"}, False),
        ({"here": "2"}, False),
        ({"here": "", "abroad": "2222"}, False),
        ({"here": "22", "age": 10 * 86_400_000}, False),
    ],
)
def test_a_release_explains_what_nobody_reaches_with_it_and_enough_others_do(
    passing: dict[str, str], expected: bool
) -> None:
    assert follows(**passing) is expected  # type: ignore[arg-type]


def test_an_unknown_release_explains_nothing() -> None:
    bad = {"p1": Member("o", 0, INTERVAL, ROUND, "bad")}
    network = TargetNetwork(
        "t", "AA", 1, "probe", {**bad, **members("22", VantageOutcome.GOOD)}, {}
    )
    state = ServiceState(service="s", networks={"1": network}, open_events={})
    assert not follows_release(state, network, ["p1"], ROUND, Policy())


@pytest.mark.parametrize(("theirs", "remarked"), [("3", True), ("2", False)])
def test_an_event_of_those_who_run_a_faulty_release_says_so(theirs: str, remarked: bool) -> None:
    people, state = vantages(5), initial("wechat")
    faulty = {vantage.probe for vantage in people[:3]}
    for n in range(12):
        round = START + n * INTERVAL
        facts = [
            replace(
                fact(vantage, round, blocked() if vantage.probe in faulty and n > 2 else ok()),
                release=theirs if vantage.probe in faulty else "2",
            )
            for vantage in (*people, *vantages(3, asn=64502))
        ]
        state, _ = step(state, round, facts, Policy())
    (event,) = (one.event for one in state.open_events.values())
    assert ("one_release" in event.against) is remarked
