"""How often others fail in a round, and what that does to weak signs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.judge.round_facts import RoundJudge, facts_of
from monitor.detection.judge.target import judge
from monitor.detection.model import State, Stored, StoredLine
from monitor.detection.observed.background import (
    NO_BACKGROUND,
    RoundBackground,
    StepTally,
    background,
)
from monitor.detection.policy import Policy
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role
from probes.wire.observation import Contrast
from tests.monitor.detection import app_scenes
from tests.monitor.detection.scenes import (
    A1,
    A2,
    REPEAT,
    alive,
    contrast,
    control,
    dns,
    measured,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import BLOCKED, Technique

TIMEOUT, REFUSED = Failure.TIMEOUT, Failure.DNS_REFUSED
BESIDE = contrast(Contrast.INNOCUOUS_NAME) | {"name": "harmless.example"}
LOST = (tcp(A1, TIMEOUT), tcp(A1, **REPEAT))
"""A connection that came about at the second attempt."""


@pytest.mark.parametrize(
    ("seen", "lookups", "connects"),
    [
        ((dns(A1), tcp(A1)), (1, 0), (1, 0)),
        ((dns(A1, evidence=("sent_again",)), *LOST), (1, 1), (1, 1)),
        ((dns(failure=REFUSED), dns(A1, **REPEAT)), (1, 1), (0, 0)),
        # What never worked may be blocked, and is no background.
        ((dns(failure=REFUSED), dns(failure=REFUSED, **REPEAT)), (0, 0), (0, 0)),
        ((tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT), tcp(A2)), (0, 0), (1, 0)),
        # An innocuous name is known not to be.
        ((dns(failure=REFUSED), dns(failure=REFUSED, **BESIDE)), (1, 1), (0, 0)),
        ((dns(failure=REFUSED), dns(A2, **BESIDE)), (1, 0), (0, 0)),
        # A target counts once, however many addresses it has.
        ((*LOST, tcp(A2, TIMEOUT), tcp(A2, **REPEAT)), (0, 0), (1, 1)),
        # This machine's own refusal is nobody's failure.
        ((tcp(A1, Failure.NETWORK_DOWN), tcp(A1, **REPEAT)), (0, 0), (1, 0)),
        ((dns(failure=Failure.DNS_NXDOMAIN),), (1, 0), (0, 0)),
    ],
)
def test_what_counts(seen: Any, lookups: tuple[int, int], connects: tuple[int, int]) -> None:
    found = background([measured(*seen)])
    assert (found.lookups, found.connects) == (StepTally(*lookups), StepTally(*connects))


def test_liveness_hosts_count_one_by_one_and_a_dead_family_not_at_all() -> None:
    found = background(alive(v6=False))
    assert found.connects == StepTally(3, 0)
    assert found.lookups == StepTally(3, 0)
    assert found.handshakes == StepTally(3, 0)


def test_it_adds_up_and_one_can_be_taken_out() -> None:
    one, other = measured(*LOST), measured(dns(A1), tcp(A1), tls(A1))
    both = background([one, other])
    assert both == background([one]) + background([other])
    assert both - background([one]) == background([other])
    assert background([]) == NO_BACKGROUND


@pytest.mark.parametrize(
    ("tally", "troubled"),
    [((0, 0), False), ((1, 1), False), ((5, 2), True), ((20, 2), True), ((21, 2), False)],
)
def test_trouble_is_a_tenth_and_more_than_one(tally: tuple[int, int], troubled: bool) -> None:
    assert StepTally(*tally).troubled is troubled
    assert RoundBackground(lookups=StepTally(*tally)).resolver_troubled is troubled
    assert RoundBackground(handshakes=StepTally(*tally)).flows_troubled is troubled


def test_resets_are_counted_apart_from_losses() -> None:
    reset = (tcp(A1, Failure.REFUSED, errno=111), tcp(A1, **REPEAT))
    shaken = (tls(A2, Failure.EOF), tls(A2, **REPEAT))
    for seen, cuts in ((reset, (1, 1)), (shaken, (1, 1)), (LOST, (1, 0))):
        assert background([measured(*seen)]).cuts == StepTally(*cuts)
    many = RoundBackground(connects=StepTally(20, 6))
    assert (many.flows_troubled, many.flows_cut) == (True, False)
    assert (many + RoundBackground(cuts=StepTally(20, 6))).flows_cut


@pytest.mark.parametrize(("failed", "lossy"), [(1, False), (4, False), (5, True)])
def test_a_third_of_the_lookups_lost_makes_speeds_chance(failed: int, lossy: bool) -> None:
    assert RoundBackground(lookups=StepTally(15, failed)).lossy is lossy
    assert RoundBackground(connects=StepTally(10, 2)).lossy


WEAK = (
    Technique.DNS_REFUSED,
    Technique.DNS_SERVFAIL,
    Technique.DNS_TIMEOUT,
    Technique.TCP_TIMEOUT,
    Technique.TCP_RESET,
    Technique.TCP_REFUSED,
    Technique.TLS_TIMEOUT_SNI,
    Technique.TLS_TIMEOUT_OTHER,
    Technique.TLS_RESET_OTHER,
    Technique.TLS_EOF_OTHER,
    Technique.QUIC_TIMEOUT_SNI,
    Technique.QUIC_TIMEOUT,
    Technique.HTTP_TIMEOUT_HOST,
    *app_scenes.BLOCKED,
)
TROUBLED = RoundBackground(lookups=StepTally(20, 6), connects=StepTally(20, 6), quic_passed=1)
CALM = RoundBackground(lookups=StepTally(20, 1), connects=StepTally(20, 1), quic_passed=1)


@pytest.mark.parametrize("technique", list(BLOCKED))
def test_weak_signs_need_a_quiet_background_and_proofs_do_not(technique: Technique) -> None:
    seen, given = BLOCKED[technique]
    given = dict(given)
    beside = given.pop("beside", None) or [control()]
    liveness = given.pop("liveness", None) or alive()

    def said(others: RoundBackground) -> State:
        return judge(measured(*seen, **given), liveness, beside, others=others).state

    assert said(CALM) is State.BLOCKED
    assert said(TROUBLED) is (State.INCONCLUSIVE if technique in WEAK else State.BLOCKED)


def test_a_whole_round_is_read() -> None:
    """Thirty in a hundred flows die: two dead connects to one address are no block. Many blocked
    targets are no trouble."""

    def said(*others: Measurement) -> State:
        dead = (dns(A1), tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT))
        subject = measured(*dead)
        beside, beyond = control()
        round_ = [subject, *alive(), *others]
        stored = [
            *(Stored(measurement=m, owner="o", role=Role.VANTAGE, enrolled=0) for m in round_),
            *(
                Stored(measurement=m, owner="c", role=Role.CONTROL, enrolled=0)
                for m in (beside, *beyond)
            ),
        ]
        facts = facts_of(stored, subject.round, Policy())
        return next(f.verdict.state for f in facts if f.target == subject.target)

    fine = [measured(tcp(A1), tls(A1), target=f"srv/fine{n}") for n in range(6)]
    flaky = [measured(*LOST, tls(A1), target=f"srv/flaky{n}") for n in range(3)]
    dead = [
        measured(tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT), target=f"srv/dead{n}")
        for n in range(30)
    ]
    assert said(*fine) is State.BLOCKED
    assert said(*fine, *dead) is State.BLOCKED
    assert said(*fine, flaky[0]) is State.BLOCKED
    assert said(*fine, *flaky) is State.INCONCLUSIVE
    assert said(*fine, *flaky, *dead) is State.INCONCLUSIVE
    # A service is judged alike whichever others are read with it.
    apart = [msgspec.structs.replace(m, target=f"other/{n}") for n, m in enumerate(flaky)]
    assert said(*fine, *apart) is State.BLOCKED


def test_lines_in_any_order_are_judged_as_measurements_are() -> None:
    subject = measured(dns(A1), tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT))
    flaky = [measured(*LOST, tls(A1), target=f"srv/flaky{n}") for n in range(3)]
    beside, beyond = control()
    shared = [
        *(Stored(measurement=m, owner="o", role=Role.VANTAGE, enrolled=0) for m in alive()),
        *(
            Stored(measurement=m, owner="c", role=Role.CONTROL, enrolled=0)
            for m in (beside, *beyond)
        ),
    ]
    for order in ([subject, *flaky], [*flaky, subject]):
        judge_ = RoundJudge(shared, Policy())
        judge_.add_all(
            StoredLine(arrival=0, line=encode(m), owner="o", role=Role.VANTAGE, enrolled=0)
            for m in order
        )
        (facts,) = judge_.facts().values()
        states = {fact.target: fact.verdict.state for fact in facts}
        assert len(facts) == len(order)
        assert states[subject.target] is State.INCONCLUSIVE
