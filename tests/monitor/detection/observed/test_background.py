"""How often others fail in a round, and what that does to weak signs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.judge.known_verdicts import KnownVerdicts
from monitor.detection.judge.round_facts import RoundJudge, facts_of
from monitor.detection.judge.target import judge
from monitor.detection.model import State, Stored, StoredLine
from monitor.detection.observed.background import (
    NO_BACKGROUND,
    AttemptTally,
    RoundBackground,
    Step,
    background,
)
from monitor.detection.policy import Policy
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role
from probes.wire.observation import UNCHECKED, Contrast, Purpose
from tests.monitor.detection import app_scenes
from tests.monitor.detection.scenes import (
    A1,
    A2,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    REPEAT,
    V6,
    alive,
    contrast,
    control,
    dns,
    measured,
    quic,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import BLOCKED, Technique

TIMEOUT, REFUSED = Failure.TIMEOUT, Failure.DNS_REFUSED
UNREACHABLE = Failure.HOST_UNREACHABLE
BESIDE = contrast(Contrast.INNOCUOUS_NAME) | {"name": "harmless.example"}
LOST = (tcp(A1, TIMEOUT), tcp(A1, **REPEAT))
"""A connection that came about at the second attempt."""


@pytest.mark.parametrize(
    ("seen", "lookups", "connects"),
    [
        ((dns(A1), tcp(A1)), (1,), (1,)),
        ((dns(A1, evidence=("sent_again",)), *LOST), (1, 0, 0, 1), (2, 1)),
        ((tcp(A1, evidence=("sent_again",)),), (), (1, 0, 0, 1)),
        # Both queries were answered: late, not lost.
        ((dns(A1, evidence=("sent_again", "sent_again_answered")),), (1,), ()),
        ((dns(failure=REFUSED), dns(A1, **REPEAT)), (2, 0, 1), ()),
        # What never worked may be blocked, and is no background.
        ((dns(failure=REFUSED), dns(failure=REFUSED, **REPEAT)), (), ()),
        ((tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT), tcp(A2)), (), (1,)),
        # Without its check of signatures a resolver does not do the same once more.
        ((dns(failure=REFUSED), dns(A1, evidence=(UNCHECKED,), **REPEAT)), (), ()),
        # An innocuous name is known not to be.
        ((dns(failure=REFUSED), dns(failure=REFUSED, **BESIDE)), (1, 0, 1), ()),
        ((dns(failure=REFUSED), dns(A2, **BESIDE)), (1,), ()),
        ((*LOST, tcp(A2, TIMEOUT), tcp(A2, **REPEAT)), (), (4, 2)),
        # A router had no way for a moment.
        ((tcp(A1, UNREACHABLE), tcp(A1, **REPEAT)), (), (2, 0, 1)),
        ((tcp(A1, UNREACHABLE), tcp(A1, UNREACHABLE, **REPEAT)), (), ()),
        # This machine's own refusal is nobody's failure.
        ((tcp(A1, Failure.NETWORK_DOWN), tcp(A1, **REPEAT)), (), (1,)),
        ((dns(failure=Failure.DNS_NXDOMAIN),), (1,), ()),
    ],
)
def test_what_counts(seen: Any, lookups: tuple[int, ...], connects: tuple[int, ...]) -> None:
    found = background([measured(*seen)])
    assert (found.lookups, found.of(4, Step.CONNECT)) == (
        AttemptTally(*lookups),
        AttemptTally(*connects),
    )


def test_families_and_steps_are_counted_apart() -> None:
    six = (tcp(V6, TIMEOUT), tcp(V6, **REPEAT), tls(V6, Failure.EOF), tls(V6, **REPEAT))
    found = background([measured(tcp(A1), tls(A1), *six)])
    assert found.of(4, Step.CONNECT) == found.of(4, Step.PAYLOAD) == AttemptTally(1)
    assert found.of(6, Step.CONNECT) == AttemptTally(2, lost=1)
    assert found.of(6, Step.PAYLOAD) == AttemptTally(2, cut=1)
    assert found.over(6) == AttemptTally(4, lost=1, cut=1)
    assert found.everywhere(Step.PAYLOAD) == AttemptTally(3, cut=1)


def test_handshakes_after_a_success_were_made_because_of_it() -> None:
    cut = (tls(A1, Failure.RESET), tls(A1, **REPEAT))
    later = (*(tls(A1, **REPEAT) for _ in range(9)), tls(A1, Failure.RESET, **REPEAT))
    found = background([measured(*cut, *later, tls(A2))])
    assert found.of(4, Step.PAYLOAD) == AttemptTally(3, cut=1)


def test_another_name_passes_where_the_services_own_may_be_blocked() -> None:
    blocked = (tls(A1, Failure.RESET), tls(A1, Failure.RESET, **REPEAT))
    beside = (tls(A1, Failure.RESET, **INNOCUOUS), tls(A1, **INNOCUOUS))
    assert background([measured(*blocked)]) == NO_BACKGROUND
    found = background([measured(*blocked, *beside)])
    assert found.of(4, Step.PAYLOAD) == AttemptTally(2, cut=1)


def test_a_liveness_host_that_was_reached_counts_at_every_address() -> None:
    def host(*seen: Any) -> RoundBackground:
        return background([measured(*seen, target="liveness/international")])

    dead = tcp(V6, TIMEOUT)
    found = host(dns(A1), tcp(A1), tls(A1), dead)
    assert (found.of(4, Step.CONNECT), found.of(6, Step.CONNECT)) == (
        AttemptTally(1),
        AttemptTally(1, lost=1),
    )
    # One that was reached nowhere may be blocked, and a machine without IPv6 loses nothing.
    assert host(tcp(A1, TIMEOUT), dead) == NO_BACKGROUND
    assert background(alive(v6=False)).over(6) == AttemptTally()
    assert background(alive()).over(6) == AttemptTally(6)


def test_a_family_without_a_route_is_no_background() -> None:
    """Nothing is reached over it, whoever the host is; where it has one at times, it is."""

    def host(*seen: Any) -> RoundBackground:
        return background([measured(*seen, target="liveness/international")])

    assert host(tcp(A1), tls(A1), tcp(V6, UNREACHABLE)).over(6) == AttemptTally()
    at_times = host(tcp(V6, UNREACHABLE), tcp(V6, **REPEAT), tcp(A1))
    assert at_times.of(6, Step.CONNECT) == AttemptTally(2, cut=1)


@pytest.mark.parametrize(("flaps", "state"), [(0, State.IMPAIRED), (4, State.OK)])
def test_a_router_that_has_no_way_at_times_accuses_nobody(flaps: int, state: State) -> None:
    """It answers one connect in ten or so by ICMP, whoever the host is."""
    icmp = {"icmp_type": 3, "icmp_code": 1}
    others = background(
        [
            *(measured(tcp(A1, UNREACHABLE, **icmp), tcp(A1, **REPEAT)) for _ in range(flaps)),
            *(measured(tcp(A1)) for _ in range(30)),
        ]
    )
    dead = (tcp(A2, UNREACHABLE, **icmp), tcp(A2, UNREACHABLE, **icmp, **REPEAT))
    seen = measured(dns(A1, A2), tcp(A1), tls(A1), *dead)
    assert judge(seen, alive(), [control()], others=others).state is state


def test_it_adds_up_and_one_can_be_taken_out() -> None:
    one, other = measured(*LOST), measured(dns(A1), tcp(A1), tls(A1))
    both = background([one, other])
    assert both == background([one]) + background([other])
    assert both - background([one]) == background([other])
    assert background([]) == NO_BACKGROUND


@pytest.mark.parametrize(
    ("seen", "dialled", "reached"),
    [
        ((dns(A1),), 0, 0),
        ((tcp(A1, TIMEOUT),), 1, 0),
        ((tcp(A1, TIMEOUT), tcp(A2)), 1, 1),
        (LOST, 1, 1),
        ((tcp(A1, TIMEOUT), tcp(REFLECTOR, **contrast(Contrast.REFLECTOR))), 1, 0),
    ],
)
def test_targets_that_are_reached_are_counted(seen: Any, dialled: int, reached: int) -> None:
    found = background([measured(*seen)])
    assert (found.targets_dialled, found.targets_reached) == (dialled, reached)
    assert background(alive()).targets_dialled == 0


def test_handshakes_that_passed_at_our_own_host_are_counted() -> None:
    ours = contrast(Contrast.REFLECTOR)
    seen = (tls(REFLECTOR, Failure.RESET, **ours), tls(REFLECTOR, **INNOCUOUS), tls(A1))
    assert background([measured(*seen)]).reflector_passed == 1
    assert background([measured(tls(A1), tls(A1, **INNOCUOUS))]).reflector_passed == 0


@pytest.mark.parametrize(
    ("dialled", "reached", "only"), [(5, 0, True), (4, 0, False), (40, 1, False)]
)
def test_where_no_target_is_reached_only_listed_hosts_are(
    dialled: int, reached: int, only: bool
) -> None:
    round_ = RoundBackground(targets_dialled=dialled, targets_reached=reached)
    assert round_.only_listed is only


@pytest.mark.parametrize(("again", "lossy"), [(1, False), (4, False), (5, True)])
def test_a_sixth_that_is_sent_again_makes_speeds_chance(again: int, lossy: bool) -> None:
    resent = RoundBackground(lookups=AttemptTally(30, resent=again))
    assert (resent.lossy(4), resent.lossy(6)) == (lossy, lossy)
    six = background([measured(*(2 * (tcp(V6, TIMEOUT), tcp(V6, **REPEAT))))])
    assert (six.lossy(4), six.lossy(6)) == (False, True)


WEAK = (
    Technique.DNS_REFUSED,
    Technique.DNS_SERVFAIL,
    Technique.DNS_TIMEOUT,
    Technique.TCP_TIMEOUT,
    Technique.TCP_RESET,
    Technique.TCP_REFUSED,
    Technique.TCP_UNREACHABLE,
    Technique.TLS_TIMEOUT_SNI,
    Technique.TLS_RESET_SNI,
    Technique.TLS_EOF_SNI,
    Technique.TLS_TIMEOUT_OTHER,
    Technique.TLS_RESET_OTHER,
    Technique.TLS_EOF_OTHER,
    Technique.QUIC_TIMEOUT_SNI,
    Technique.QUIC_TIMEOUT,
    Technique.HTTP_TIMEOUT_HOST,
    Technique.HTTP_RESET_HOST,
    *app_scenes.BLOCKED,
)
_TROUBLE, _CALM = AttemptTally(40, lost=10, cut=10), AttemptTally(40)
TROUBLED = RoundBackground(lookups=_TROUBLE, flows=(_TROUBLE,) * 6, quic_passed=1)
CALM = RoundBackground(lookups=_CALM, flows=(_CALM,) * 6, quic_passed=1)


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


@pytest.mark.parametrize(
    ("how", "innocuous", "others", "state"),
    [
        # Packets of others that were sent again are no reason for silence that keeps to a name.
        (TIMEOUT, None, AttemptTally(40, resent=5), State.BLOCKED),
        (TIMEOUT, None, AttemptTally(40, lost=1), State.BLOCKED),
        # Where half of them were, packets wait in a queue for longer than an attempt lasts.
        (TIMEOUT, None, AttemptTally(40, resent=18), State.BLOCKED),
        (TIMEOUT, None, AttemptTally(40, resent=24), State.INCONCLUSIVE),
        # Where one in 13 dies, one attempt with our own host does not tell that it is the name.
        (Failure.RESET, None, AttemptTally(40, cut=3), State.BLOCKED),
        (Failure.RESET, Failure.RESET, AttemptTally(40, cut=3), State.INCONCLUSIVE),
        (Failure.RESET, Failure.RESET, AttemptTally(40), State.BLOCKED),
        # A few packets that were sent again kill no attempt; attempts that died do.
        (TIMEOUT, TIMEOUT, AttemptTally(40, resent=3), State.BLOCKED),
        (TIMEOUT, TIMEOUT, AttemptTally(40, lost=3), State.INCONCLUSIVE),
    ],
)
def test_how_the_name_is_known(
    how: Failure, innocuous: Failure | None, others: AttemptTally, state: State
) -> None:
    dead = [tls(a, how, **again) for a in (A1, A2) for again in ({}, REPEAT, REPEAT)]
    beside = [tls(a, innocuous, at_us=9, **INNOCUOUS) for a in (A1, A2)]
    ours = tls(REFLECTOR, how, **OWN_HOST)
    seen = measured(dns(A1, A2), tcp(A1), tcp(A2), *dead, *beside, ours)
    said = judge(seen, alive(), [control()], others=RoundBackground(flows=(others,) * 6))
    assert said.state is state
    if state is State.BLOCKED:
        assert said.technique in (Technique.TLS_TIMEOUT_SNI, Technique.TLS_RESET_SNI)
    else:
        assert "background_fails" in said.evidence


@pytest.mark.parametrize(
    ("innocuous", "lost", "state"),
    [
        (TIMEOUT, 0, State.BLOCKED),
        (TIMEOUT, 3, State.INCONCLUSIVE),  # it rests on one attempt with our own host
        (None, 3, State.BLOCKED),
    ],
)
def test_how_the_name_is_known_over_quic(
    innocuous: Failure | None, lost: int, state: State
) -> None:
    dead = [quic(a, TIMEOUT, **again) for a in (A1, A2) for again in ({}, REPEAT, REPEAT)]
    beside = [quic(a, innocuous, at_us=9, **INNOCUOUS) for a in (A1, A2)]
    ours = quic(REFLECTOR, TIMEOUT, **OWN_HOST)
    since = tcp(A1, at=QUIC, at_us=9, purpose=Purpose.CONTRAST)
    seen = measured(dns(A1, A2, at=QUIC), *dead, *beside, ours, since, endpoints=(QUIC,))
    there = control(dns(A1, A2, at=QUIC), quic(A1), quic(A2), endpoints=(QUIC,))
    others = RoundBackground(flows=(AttemptTally(40, lost=lost),) * 6, quic_passed=1)
    said = judge(seen, alive(), [there], others=others)
    assert (said.state, said.rule) == (
        state,
        "quic.timeout.sni" if state is State.BLOCKED else "quic.background",
    )


def test_a_datagram_that_died_excuses_no_connect() -> None:
    calm, one_of_four = AttemptTally(40), AttemptTally(4, lost=1)
    datagram, connect = (calm, calm, one_of_four), (one_of_four, calm, calm)
    dead = [tcp(a, TIMEOUT, **again) for a in (A1, A2) for again in ({}, REPEAT, REPEAT)]
    seen = measured(dns(A1, A2), *dead)
    for four, state in ((datagram, State.BLOCKED), (connect, State.INCONCLUSIVE)):
        others = RoundBackground(flows=(*four, calm, calm, calm))
        assert judge(seen, alive(), [control()], others=others).state is state


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
    # Two dead connects are chance where one of twenty others died.
    assert said(*fine, flaky[0]) is State.INCONCLUSIVE
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
        judge_ = RoundJudge(shared, Policy(), KnownVerdicts())
        judge_.add_all(
            StoredLine(arrival=0, line=encode(m), owner="o", role=Role.VANTAGE, enrolled=0)
            for m in order
        )
        (facts,) = judge_.facts().values()
        states = {fact.target: fact.verdict.state for fact in facts}
        assert len(facts) == len(order)
        assert states[subject.target] is State.INCONCLUSIVE
