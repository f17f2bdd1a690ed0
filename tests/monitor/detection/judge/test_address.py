"""Steps at one address: which are judged, and what state they make."""

from __future__ import annotations

import pytest

from monitor.detection.judge.address import (
    UNSEEN,
    AddressJudgement,
    judge_address,
    without_unseen_accusations,
    without_weak_accusations,
)
from monitor.detection.judge.beside_control import STRONG, WEAK, Outcome
from monitor.detection.model import Layer, State
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import A1, A3, INNOCUOUS, REPEAT, TLS, dns, http, tcp, tls

DIES_BY_NAME = tls(A1, Failure.RESET), tls(A1, **INNOCUOUS)
OK, BLOCKED, DOWN = State.OK, State.BLOCKED, State.DOWN


def outcome(layer: Layer, state: State, *, partial: bool = False, weight: int = 0) -> Outcome:
    return Outcome(
        layer, f"{layer}.{state}", state, state is BLOCKED, None, weight, (), False, partial
    )


def judged(*outcomes: Outcome, unseen: bool = False) -> AddressJudgement:
    return AddressJudgement(A1, True, outcomes, Layer.TLS, unseen)


@pytest.mark.parametrize(
    ("tcp_state", "tls_state", "partial", "state", "begun"),
    [
        (OK, OK, False, OK, False),
        (OK, None, False, State.INSUFFICIENT, True),
        (DOWN, None, False, DOWN, False),
        (BLOCKED, None, False, BLOCKED, False),
        (BLOCKED, OK, True, State.IMPAIRED, False),
        (BLOCKED, DOWN, True, DOWN, False),
        (OK, BLOCKED, False, BLOCKED, False),
    ],
)
def test_the_first_step_that_did_not_pass_decides(
    tcp_state: State, tls_state: State | None, partial: bool, state: State, begun: bool
) -> None:
    steps = [outcome(Layer.TCP, tcp_state, partial=partial)]
    if tls_state is not None:
        steps.append(outcome(Layer.TLS, tls_state))
    assert (judged(*steps).state, judged(*steps).begun) == (state, begun)
    assert judged(*steps).tried is (tls_state is not None)


@pytest.mark.parametrize(
    ("seen", "rules"),
    [
        ((), []),
        ((tcp(),), ["tcp.connected"]),
        ((tcp(), tls()), ["tcp.connected", "tls.certificate_valid"]),
        # What came after a step that failed shows nothing.
        ((tcp(A1, Failure.TIMEOUT), tcp(A1, Failure.TIMEOUT, **REPEAT)), ["tcp.timeout"]),
        ((*DIES_BY_NAME, http(A1, at=TLS, port=443)), ["tls.reset.sni"]),
    ],
)
def test_steps_are_judged_as_long_as_those_before_worked(
    seen: tuple[AnyObservation, ...], rules: list[str]
) -> None:
    context = case(dns(A1), *seen)
    address = context.endpoint.at(A1, 443)
    said = judge_address(context, address, own=True, forged=False)
    assert [o.rule for o in said.outcomes] == rules
    assert not said.unseen


def test_an_address_of_a_forged_answer_is_not_judged() -> None:
    context = case(dns(A3), tcp(A3, Failure.TIMEOUT))
    address = context.endpoint.at(A3, 443)
    (forged,) = judge_address(context, address, own=False, forged=True).outcomes
    assert (forged.rule, forged.state) == ("tcp.answer_accused", State.INSUFFICIENT)
    (timeout,) = judge_address(context, address, own=True, forged=False).outcomes
    assert timeout.rule == "tcp.timeout"
    assert judge_address(context, address, own=True, forged=False).unseen


def test_what_happens_where_no_control_was_is_weak_by_itself() -> None:
    near = judged(outcome(Layer.TLS, BLOCKED), unseen=True)
    (weak,) = without_unseen_accusations([near])
    assert (weak.state, weak.outcomes[0].evidence) == (State.INCONCLUSIVE, (UNSEEN,))
    far = judged(outcome(Layer.TLS, BLOCKED))
    assert without_unseen_accusations([near, far]) == (near, far)
    strong = judged(outcome(Layer.TLS, BLOCKED, weight=STRONG + 1), unseen=True)
    assert without_unseen_accusations([strong]) == (strong,)


def test_a_strong_sign_stands_where_other_addresses_work() -> None:
    weak = without_weak_accusations(judged(outcome(Layer.TLS, BLOCKED, weight=STRONG)))
    assert (weak.state, weak.outcomes[0].evidence) == (State.INCONCLUSIVE, (WEAK,))
    strong = judged(outcome(Layer.TLS, BLOCKED, weight=STRONG + 1))
    assert without_weak_accusations(strong) == strong
