"""Throttling: what is read, and the order of the rules."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from monitor.detection.layers.throttle import (
    THROTTLE_RULES,
    ControlSpeed,
    TransferFacts,
    transfer_facts,
)
from monitor.detection.model import Layer, Share, State, Technique, Tier
from monitor.detection.observed.endpoint_context import EndpointContext, Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.view import EndpointView
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.observation import HTTPExchange, Transfer
from probes.wire.pairs import MOST_PAIRS, PAIRED, undecided
from tests.monitor.detection.grouped import grouped
from tests.monitor.detection.scenes import (
    A1,
    A2,
    HTTPS,
    INNOCUOUS,
    TLS,
    alive,
    control,
    dns,
    http,
    tcp,
    tls,
    transfer,
)
from tests.monitor.detection.sightings import verdict
from tests.monitor.detection.throttle_scenes import (
    CONTROL,
    FAST,
    FINE,
    FROZEN,
    GIVEN,
    SLOW,
    THROTTLED,
    elsewhere,
    secure,
    series,
)
from tests.monitor.detection.worlds import TARGET, World, in_network, standard


@pytest.mark.parametrize("row", list(THROTTLED))
def test_throttled(row: str) -> None:
    technique, rule, seen = THROTTLED[row]
    said = verdict(*seen, **GIVEN)
    assert (said.state, said.layer) == (State.THROTTLED, Layer.TLS)
    assert (said.technique, said.rule) == (technique, rule)
    assert said.endpoints == said.addresses == Share(1, 1)
    found = said.findings[-1]
    assert (found.layer, found.blocked, found.rule) == (Layer.TLS, True, rule)
    assert found.weight > 0


@pytest.mark.parametrize("row", list(THROTTLED))
def test_without_a_control_it_is_named_and_not_accused(row: str) -> None:
    technique, rule, seen = THROTTLED[row]
    for beside in ([], [(CONTROL[0], alive(international=(False, False, True)))]):
        said = verdict(*seen, **GIVEN | {"beside": beside})
        assert (said.state, said.technique, said.rule) == (State.INCONCLUSIVE, technique, rule)
        assert "no_control" in said.evidence
        assert not any(finding.blocked for finding in said.findings)


@pytest.mark.parametrize("row", list(THROTTLED))
def test_what_is_as_slow_for_the_control_is_the_service_itself(row: str) -> None:
    _, _, seen = THROTTLED[row]
    slow = control(*seen, endpoints=(HTTPS,))
    said = verdict(*seen, **GIVEN | {"beside": [slow]})
    assert said.technique is None
    assert said.state in (State.OK, State.DOWN, State.INCONCLUSIVE)
    assert "slow_for_control_too" in said.evidence


def test_a_control_that_waited_for_the_first_byte_is_not_slow() -> None:
    _, _, seen = THROTTLED["by name"]
    for waited, state in ((3_990_000, State.THROTTLED), (20_000, State.OK)):
        late = transfer(took_us=4_000_000, first_us=waited)
        beside = [control(*secure(late), endpoints=(HTTPS,))]
        assert verdict(*seen, **GIVEN | {"beside": beside}).state is state


@pytest.mark.parametrize("row", list(THROTTLED))
def test_an_offline_vantage_accuses_nobody(row: str) -> None:
    _, _, seen = THROTTLED[row]
    liveness = alive(international=(False, False, True))
    said = verdict(*seen, **GIVEN | {"liveness": liveness})
    assert said.state is State.VANTAGE_OFFLINE


@pytest.mark.parametrize("row", list(FINE))
def test_merely_slow(row: str) -> None:
    remark, seen = FINE[row]
    said = verdict(*seen, **GIVEN)
    assert (said.state, said.technique) == (State.OK, None)
    assert remark in (*said.evidence, said.rule)
    assert not any(finding.blocked for finding in said.findings)


def test_the_speed_of_one_address_speaks_for_all() -> None:
    other = (tcp(A2, at=HTTPS), tls(A2, at=HTTPS))
    seen = secure(*series({"rate": SLOW}, {"rate": FAST}))
    said = verdict(dns(A1, A2, at=HTTPS), *seen[1:], *other, **GIVEN)
    assert (said.state, said.endpoints) == (State.THROTTLED, Share(1, 1))
    assert said.addresses == Share(2, 1)


@pytest.mark.parametrize("received", [0, 700])
@pytest.mark.parametrize(
    ("failure", "technique"),
    [
        (Failure.RESET, Technique.TLS_RESET_SNI),
        (Failure.EOF, Technique.TLS_EOF_SNI),
        (Failure.TIMEOUT, Technique.TLS_TIMEOUT_SNI),
    ],
)
def test_dead_is_not_throttled(failure: Failure, technique: Technique, received: int) -> None:
    """The connection dies after the server's first bytes, before anything is delivered."""
    died = {"failure": failure, "size": received, "silence_us": 4_000_000}
    asked = secure(*series(died, {"rate": FAST}), status=failure)
    other = (tcp(A2, at=HTTPS), tls(A2, at=HTTPS))  # asked nothing after its handshake
    said = verdict(dns(A1, A2, at=HTTPS), *asked[1:], *other, **GIVEN)
    assert (said.state, said.technique) == (State.BLOCKED, technique)
    # Whatever the name, and for the control: no speed, no name, nobody accused.
    whatever = secure(*series(died, died), elsewhere(FAST), status=failure)
    assert verdict(*whatever, **GIVEN).state is State.INCONCLUSIVE
    assert verdict(
        *asked, **GIVEN | {"beside": [control(*asked, endpoints=(HTTPS,))]}
    ).state not in (
        State.BLOCKED,
        State.THROTTLED,
    )
    # It answered the app all the same.
    said = verdict(*secure(*series(died, died)), **GIVEN)
    assert (said.state, said.evidence) == (State.OK, ("transfer_died",))


def test_a_blocked_endpoint_outweighs_a_throttled_one() -> None:
    slow = secure(*series({"rate": SLOW}, {"rate": FAST}))
    beside = control(
        *secure(transfer()), dns(A2), tcp(A2), tls(A2), endpoints=(HTTPS, TLS), combine="any_of"
    )
    cut = (dns(A2), tcp(A2), tls(A2, Failure.RESET), tls(A2, **INNOCUOUS))
    given: dict[str, Any] = {"endpoints": (HTTPS, TLS), "beside": [beside]}
    for how, state in (("any_of", State.IMPAIRED), ("all_of", State.BLOCKED)):
        said = verdict(*slow, *cut, combine=how, **given)
        assert (said.state, said.technique) == (state, Technique.TLS_RESET_SNI)
    works = (dns(A2), tcp(A2), tls(A2))
    for how in ("any_of", "all_of"):
        said = verdict(*slow, *works, combine=how, **given)
        assert (said.state, said.technique) == (State.THROTTLED, Technique.THROTTLE_SNI)
        assert said.endpoints == Share(2, 1)


def facts(*seen: Any, beside: tuple[Any, ...] = (), accused: bool = False) -> TransferFacts | None:
    """Facts of A1 with what controls saw at places of their own."""

    def place(observations: Any) -> EndpointView:
        endpoint = EndpointView(HTTPS)
        for each in observations:
            at = endpoint.at(each.address, 443)
            if isinstance(each, HTTPExchange):
                at.http.add(each)
            elif each.address.startswith("13."):
                endpoint.reflector.transfers.append(each)
            else:
                at.transfers.append(each)
        return endpoint

    here = place(seen)
    case = EndpointContext(
        here, [here], [place(b) for b in beside], VantageStatus(), frozenset(), frozenset()
    )
    return transfer_facts(case, here.at(A1, 443), accused)


def test_no_transfer_no_facts() -> None:
    assert facts() is None
    assert facts(transfer(turn=1, **INNOCUOUS)) is None
    assert facts(transfer(), accused=True) is None


@pytest.mark.parametrize(
    ("beside", "reach", "tenth", "here"),
    [
        ((), Reach.UNKNOWN, False, False),
        (((transfer(),),), Reach.PASSED, True, True),
        (((transfer(A2),),), Reach.PASSED, True, False),
        (((transfer(rate=4 * SLOW),),), Reach.PASSED, False, True),
        (((transfer(rate=2 * SLOW),),), Reach.SAME, False, True),
        (((transfer(rate=SLOW),), (transfer(),)), Reach.PASSED, True, True),
        (((http(A1, at=HTTPS, received_bytes=800),),), Reach.PASSED, False, False),
        (
            ((http(A1, at=HTTPS, received_bytes=60_000, took_us=100_000),),),
            Reach.PASSED,
            True,
            False,
        ),
        (
            ((http(A1, at=HTTPS, received_bytes=60_000, took_us=3_000_000),),),
            Reach.SAME,
            False,
            False,
        ),
        (((http(A1, Failure.TIMEOUT, at=HTTPS),),), Reach.DIFFERENT, False, False),
    ],
)
def test_the_control(beside: Any, reach: Reach, tenth: bool, here: bool) -> None:
    seen = facts(transfer(rate=SLOW), beside=beside)
    assert seen is not None
    assert seen.control == ControlSpeed(reach, tenth, here)


@pytest.mark.parametrize(("rest", "throttled"), [(200_000, True), (20_000, False)])
def test_one_transfer_that_ends_fast_after_waiting(rest: int, throttled: bool) -> None:
    """Where half of the packets are dropped, the second half of the bytes may come at once. What
    counts is the whole, beside an innocuous name in both orders."""
    slow, *others, last = series({"rate": SLOW}, {"rate": FAST})
    seen = facts(slow, *others, msgspec.structs.replace(last, rate=650_000, took_us=rest))
    assert seen is not None
    assert seen.innocuous.faster is throttled
    decided = first(THROTTLE_RULES, seen)
    assert decided is not None
    assert decided.id == ("throttle.sni" if throttled else "throttle.runs")


PAIRS: dict[str, Any] = {"evidence": (PAIRED,)}
SPEEDS: dict[str, Callable[[Random], float]] = {
    "a little loss": lambda rng: rng.lognormvariate(15, 1),
    "much loss": lambda rng: rng.lognormvariate(10, 2.5),
    "a time-out or none": lambda rng: rng.choice((2_000, 5_000_000)) * rng.uniform(0.8, 1.2),
    "rarely a time-out": lambda rng: 5_000 if rng.random() < 0.2 else 8_000_000,
}


def alternating(speed: Callable[[str], float]) -> list[Transfer]:
    """A series as the probe makes it, at the speeds that are drawn for each name."""
    made: dict[str, list[Transfer]] = {"own": [], "other": []}
    for pair in range(MOST_PAIRS):
        if pair and not undecided(made["own"], made["other"]):
            break
        for turn in (2 * pair, 2 * pair + 1):
            name = "other" if turn % 4 in (1, 2) else "own"
            shown = INNOCUOUS if name == "other" else {}
            rate = max(1, int(speed(name)))
            made[name].append(transfer(turn=turn, rate=rate, **shown, **PAIRS))
    return [*made["own"], *made["other"]]


def accused(series: list[Transfer]) -> bool:
    judged = facts(*series, beside=((transfer(),),))
    assert judged is not None
    decided = first(THROTTLE_RULES, judged)
    return decided is not None and decided.state is State.THROTTLED


@pytest.mark.parametrize("line", list(SPEEDS))
def test_chance_accuses_no_name(line: str) -> None:
    """Whatever the speeds of a line, one series in 18 is the bound; with a tenfold it is fewer."""
    rng = Random(line)
    wrong = sum(accused(alternating(lambda name: SPEEDS[line](rng))) for _ in range(1_000))
    assert wrong <= 30


@pytest.mark.parametrize(("line", "least"), [("a little loss", 190), ("rarely a time-out", 80)])
def test_a_shaped_name_is_found_on_such_a_line(line: str, least: int) -> None:
    """Of 200 rounds; where each fifth transfer is slow whatever its name, half of them."""
    rng = Random(line)

    def shaped(name: str) -> float:
        return min(SLOW, SPEEDS[line](rng)) if name == "own" else SPEEDS[line](rng)

    assert sum(accused(alternating(shaped)) for _ in range(200)) >= least


def test_a_series_that_was_broken_off_shows_nothing_by_name() -> None:
    whole = alternating(lambda name: SLOW if name == "own" else FAST)
    assert accused(whole)
    assert not accused([t for t in whole if t.turn < 6])


@pytest.mark.parametrize(("ours", "throttled"), [(3, True), (2, False)])
def test_our_own_host_is_asked_as_often_as_tells_chance(ours: int, throttled: bool) -> None:
    slow = [
        transfer(turn=turn, rate=SLOW, **(INNOCUOUS if turn in (1, 2) else {}), **PAIRS)
        for turn in range(4)
    ]
    fast = [elsewhere(FAST, turn) for turn in range(ours)]
    judged = verdict(*secure(*slow, *fast), **GIVEN)
    assert (judged.state is State.THROTTLED) is throttled


def test_pairs_and_freezing() -> None:
    one = facts(transfer(**FROZEN))
    assert one is not None
    assert one.own.slow
    assert one.own.frozen
    assert not one.innocuous.faster
    twice = facts(*series(FROZEN, {"rate": FAST}), elsewhere(FAST))
    assert twice is not None
    assert twice.innocuous.faster
    assert twice.innocuous.fast_elsewhere
    assert not twice.innocuous.as_slow
    lone = facts(transfer(turn=0, rate=SLOW), transfer(turn=2, rate=FAST, **INNOCUOUS))
    assert lone is not None
    assert not lone.innocuous.faster


@pytest.mark.parametrize(
    ("address", "other", "technique"),
    [
        (A1, SLOW, Technique.THROTTLE_ADDRESS),
        (A2, SLOW, None),
        (A2, FAST, Technique.THROTTLE_SNI),
    ],
)
def test_an_address_that_no_control_saw_is_throttled_by_name_alone(
    address: str, other: int, technique: Technique | None
) -> None:
    """A server for this region alone may be overloaded."""
    said = verdict(
        *(make(address, at=HTTPS) for make in (dns, tcp, tls)),
        http(address, at=HTTPS, received_bytes=900, took_us=30_000),
        *(transfer(address, turn=turn, rate=SLOW) for turn in (0, 3)),
        *(transfer(address, turn=turn, rate=other, **INNOCUOUS) for turn in (1, 2)),
        elsewhere(FAST),
        **GIVEN,
    )
    assert said.technique == technique
    assert said.state is (State.THROTTLED if technique else State.OK)


@pytest.mark.parametrize("row", list(THROTTLED))
def test_a_throttled_service_becomes_an_event_of_extent_partial(row: str) -> None:
    technique, rule, seen = THROTTLED[row]
    said = msgspec.structs.replace(verdict(*seen, **GIVEN), target=TARGET)
    fine = msgspec.structs.replace(verdict(*secure(transfer()), **GIVEN), target=TARGET)
    world = World(standard()).quiet().run(60, in_network(64501, said, fine))
    event = world.only
    assert (event.technique, event.extent) == (str(technique), "partial")
    assert dict(event.rule_counts)[rule] > 0
    if rule.endswith("sni"):
        assert event.tier is Tier.CONFIRMED
    assert event.networks[0].layer == "tls"


NAME = {"faster": True}
PLACE = {"as_slow": True, "fast_elsewhere": True}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"slow": False}, "throttle.runs"),
        ({"slow": False, "faster": True}, "throttle.sni"),
        (NAME | {"reach": Reach.SAME}, "throttle.control_slow_too"),
        (NAME, "throttle.sni"),
        (NAME | {"fast_elsewhere": False}, "throttle.sni"),
        (NAME | {"lossy": True}, "throttle.background"),
        (NAME | {"frozen": True, "lossy": True}, "throttle.background"),
        (NAME | {"dead": Kind.RESET}, "tls.reset.sni_late"),
        (NAME | {"dead": Kind.RESET, "by_chance": True}, "throttle.dead"),
        (NAME | {"frozen": True}, "throttle.freeze.sni"),
        (PLACE | {"tenth": True}, "throttle.address"),
        (PLACE | {"reach": Reach.UNKNOWN}, "throttle.address"),
        (PLACE | {"tenth": True, "unseen": True}, "throttle.slow"),
        (PLACE, "throttle.slow"),
        (PLACE | {"frozen": True}, "throttle.freeze.address"),
        (PLACE | {"fast_elsewhere": False, "tenth": True}, "throttle.everywhere"),
        (PLACE | {"fast_elsewhere": None, "tenth": True}, "throttle.slow"),
        ({"fast_elsewhere": False}, "throttle.everywhere"),
        ({}, "throttle.slow"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str) -> None:
    found = first(
        THROTTLE_RULES, grouped(TransferFacts, **{"slow": True, "reach": Reach.PASSED} | given)
    )
    assert found is not None
    assert found.id == rule


def test_the_last_rule_takes_everything_and_accuses_nobody() -> None:
    assert THROTTLE_RULES[-1].condition(None)  # type: ignore[arg-type]
    assert THROTTLE_RULES[-1].state is State.OK
