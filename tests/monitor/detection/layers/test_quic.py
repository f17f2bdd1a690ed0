"""QUIC: what is read, and the order of the rules."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from monitor.detection.judge.target import judge
from monitor.detection.layers.quic import QUIC_RULES, QUICFacts, quic_facts
from monitor.detection.model import State, Verdict
from monitor.detection.observed.background import RoundBackground, background
from monitor.detection.observed.endpoint_context import Reach, endpoint_context
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.view import view
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation, Certificate, QUICHandshake, TCPConnect
from tests.monitor.detection.grouped import grouped
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    FORGED,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    REPEAT,
    TLS,
    V6,
    alive,
    control,
    dns,
    endpoint,
    measured,
    quic,
    tcp,
    tls,
)

TIMEOUT, REFUSED = Failure.TIMEOUT, Failure.REFUSED
OPEN = (State.BLOCKED, State.IMPAIRED)
GOOD = control(dns(A1, at=QUIC), quic(A1), quic(A2), endpoints=(QUIC,))
CLOSED = {"icmp_type": 3, "icmp_code": 3, "icmp_from": A1, "errno": 111}
FOREIGN = {"verify_code": 20, "chain": (Certificate(sha256="f" * 64),), "received_bytes": 900}
SECOND = endpoint("quic", "two.example")


def facts(
    *seen: AnyObservation, standing: VantageStatus | None = None, **other: Any
) -> QUICFacts | None:
    views = view(measured(*seen, **({"endpoints": (QUIC,)} | other)))
    mine = views[QUIC.id]
    there = view(GOOD[0])[QUIC.id]
    case = endpoint_context(mine, tuple(views.values()), [there], standing or VantageStatus())
    return quic_facts(case, mine.at(A1, 443), False)


def quic_known(passes: bool | None) -> RoundBackground:
    """Whether QUIC of other targets passed."""
    return RoundBackground(quic_passed=passes is True, quic_silent=passes is False)


def verdict(*seen: AnyObservation, beside: Any = None, **other: Any) -> Verdict:
    given = {"endpoints": (QUIC,)} | other
    known = given.pop("quic", None)
    liveness = given.pop("liveness", None)
    return judge(
        measured(dns(A1, at=QUIC), *seen, **given),
        alive() if liveness is None else liveness,
        [GOOD] if beside is None else beside,
        others=quic_known(known),
    )


def test_untried_is_none() -> None:
    assert facts(tcp(A1, at=QUIC)) is None


def test_the_contrasts_find_their_places() -> None:
    got = facts(
        quic(A1, TIMEOUT),
        quic(A1, TIMEOUT, **REPEAT),
        quic(A1, **INNOCUOUS),
        quic(REFLECTOR, TIMEOUT, **OWN_HOST),
        tcp(A1, at=QUIC, **BESIDE),
        tls(A1, at=QUIC, **BESIDE),
    )
    assert got == grouped(
        QUICFacts,
        kind=Kind.TIMEOUT,
        reach=Reach.PASSED,
        here=True,
        innocuous=Kind.OK,
        reflector=Kind.TIMEOUT,
        evidence=("tcp_works",),
    )


@pytest.mark.parametrize(
    ("ours", "other", "tainted"),
    [
        ({"at_us": 5}, {"at_us": 9}, True),
        ({"at_us": 9}, {"at_us": 5}, False),
        ({"at_us": 9}, {"at_us": 5, "evidence": ("after_trigger",)}, True),
    ],
)
def test_an_innocuous_name_after_ours_is_tainted(
    ours: dict[str, Any], other: dict[str, Any], tainted: bool
) -> None:
    got = facts(quic(A1, TIMEOUT, **ours), quic(A1, TIMEOUT, **INNOCUOUS, **other))
    assert got is not None
    assert got.contrasts.tainted is tainted
    assert ("residual_possible" in got.evidence) is tainted


@pytest.mark.parametrize(
    ("contrasts", "word"),
    [
        ((tcp(A1, TIMEOUT, at=QUIC, **BESIDE),), "tcp_fails_too"),
        ((tcp(A1, at=QUIC, **BESIDE), tls(A1, TIMEOUT, at=QUIC, **BESIDE)), "tls_fails_too"),
        ((tcp(A1, at=QUIC, **BESIDE), tls(A1, at=QUIC, **BESIDE)), "tcp_works"),
    ],
)
def test_what_tcp_did_is_evidence(contrasts: tuple[AnyObservation, ...], word: str) -> None:
    dead = (quic(A1, TIMEOUT), quic(A1, TIMEOUT, **INNOCUOUS), quic(REFLECTOR, **OWN_HOST))
    said = verdict(*dead, *contrasts)
    assert (said.state, said.technique, said.evidence) == ("blocked", "quic.timeout", (word,))


@pytest.mark.parametrize(
    ("rest", "known", "elsewhere"),
    [
        ((), None, None),
        ((), True, True),
        ((), False, False),
        ((quic(A2, at=SECOND),), False, True),
        ((quic(A2),), None, True),
        ((quic(A2, TIMEOUT, at=SECOND),), None, False),
        ((quic(A2, TIMEOUT, at=SECOND),), True, True),
        ((quic(A2, TIMEOUT, at=SECOND), quic(A2, at=SECOND, **REPEAT)), None, True),
        ((quic(A2, REFUSED, at=SECOND, **CLOSED),), None, None),
        ((quic(A2, Failure.SSL_UNKNOWN_AUTHORITY, at=SECOND, **FOREIGN),), None, True),
        # Bytes came back and yet no handshake: that is no passing.
        ((quic(A2, TIMEOUT, at=SECOND, received_bytes=1200),), None, False),
        ((quic(REFLECTOR, at=SECOND, **OWN_HOST),), None, True),
    ],
)
def test_elsewhere(
    rest: tuple[AnyObservation, ...], known: bool | None, elsewhere: bool | None
) -> None:
    got = facts(
        quic(A1, TIMEOUT),
        *rest,
        endpoints=(QUIC, SECOND),
        standing=VantageStatus(background=quic_known(known)),
    )
    assert got is not None
    assert got.contrasts.elsewhere is elsewhere


def test_passes() -> None:
    silent = measured(quic(A1, TIMEOUT), endpoints=(QUIC,))
    good = measured(quic(A1), endpoints=(QUIC,))
    assert background([]).quic is None
    assert background([measured(tls(A1))]).quic is None
    assert background([silent]).quic is False
    assert background([silent, good]).quic is True
    assert (background([silent, good]) - background([good])).quic is False


@pytest.mark.parametrize("at", [A1, REFLECTOR])
@pytest.mark.parametrize(("late_us", "state"), [(6_000_000, "inconclusive"), (900_000, "blocked")])
def test_another_name_that_is_answered_late(at: str, late_us: int, state: str) -> None:
    beside = quic(at, took_us=late_us, **(INNOCUOUS if at == A1 else OWN_HOST))
    said = verdict(quic(A1, TIMEOUT, took_us=10_000_000), beside, quic=True)
    assert said.state == state


@pytest.mark.parametrize(
    ("late_us", "since", "rule"),
    [
        (1_500_000, tcp(A1, at=QUIC, at_us=9, **BESIDE), "quic.timeout.sni"),
        # Ours was waited for at our own host for five seconds, and another name took four.
        (4_200_000, tcp(A1, at=QUIC, at_us=9, **BESIDE), "quic.background"),
        # Nothing tells that the line was there when our name died at our own host.
        (1_500_000, tcp(A1, TIMEOUT, at=QUIC, at_us=9, **BESIDE), "quic.line_unseen"),
        (1_500_000, tcp(A1, at=QUIC, at_us=1, **BESIDE), "quic.line_unseen"),
        (1_500_000, None, "quic.line_unseen"),
    ],
)
def test_a_name_that_only_our_own_host_tells_needs_a_line_that_is_there(
    late_us: int, since: TCPConnect | None, rule: str
) -> None:
    seen = (
        quic(A1, TIMEOUT, took_us=10_000_000),
        quic(A1, TIMEOUT, took_us=5_000_000, **REPEAT),
        quic(A1, TIMEOUT, took_us=5_000_000, **INNOCUOUS),
        quic(REFLECTOR, took_us=late_us, **INNOCUOUS),
        quic(REFLECTOR, TIMEOUT, at_us=5, took_us=5_000_000, **OWN_HOST),
    )
    assert verdict(*seen, *([since] if since else ())).rule == rule


@pytest.mark.parametrize("dies", [(), (quic(A1, TIMEOUT, at_us=4, **INNOCUOUS),)])
@pytest.mark.parametrize(
    ("since", "blocked"),
    [
        (tcp(A1, at=QUIC, at_us=3, **BESIDE), True),
        (tls(A2, at=TLS, at_us=3), True),
        (quic(A2, at=SECOND, at_us=3), True),
        (tcp(A1, at=QUIC, at_us=2, **BESIDE), False),
        (tcp(A1, TIMEOUT, at=QUIC, at_us=3, **BESIDE), False),
        (quic(A2, TIMEOUT, at=SECOND, at_us=3), False),
        (None, False),
    ],
)
def test_silence_needs_a_line_that_is_there(
    since: AnyObservation | None, blocked: bool, dies: tuple[QUICHandshake, ...]
) -> None:
    """Other targets were reached over QUIC in this round, and the line may have died since."""
    seen = (quic(A1, TIMEOUT), quic(A1, TIMEOUT, at_us=3, **REPEAT), *dies)
    said = verdict(*seen, *([since] if since else ()), quic=True)
    told = "quic.untold" if blocked else "quic.line_unseen"
    assert said.rule == told


@pytest.mark.parametrize(("parts", "state"), [(9_000, "inconclusive"), (0, "blocked")])
def test_where_parts_came_the_shortest_wait_counts(parts: int, state: str) -> None:
    ours = [
        quic(A1, TIMEOUT, took_us=10_000_000, received_bytes=parts),
        quic(A1, TIMEOUT, took_us=5_000_000, received_bytes=parts, **REPEAT),
    ]
    said = verdict(*ours, quic(A1, took_us=4_000_000, **INNOCUOUS), quic=True)
    assert said.state == state


def test_no_quic_here_is_said_and_nobody_accused() -> None:
    seen = (
        quic(A1, TIMEOUT),
        quic(A1, TIMEOUT, **INNOCUOUS),
        quic(REFLECTOR, TIMEOUT, **OWN_HOST),
        tcp(A1, at=QUIC, **BESIDE),
        tls(A1, at=QUIC, **BESIDE),
    )
    for known in (None, False):
        said = verdict(*seen, quic=known)
        assert (said.state, said.layer, said.technique) == ("inconclusive", "quic", None)
        assert (said.rule, said.evidence) == ("quic.no_quic_here", ("no_quic_here", "tcp_works"))
    # Other targets were reached over QUIC: then it is our name, if our own host answers another.
    assert verdict(*seen, quic=True).technique == "quic.timeout.sni"
    broken = quic(REFLECTOR, TIMEOUT, **INNOCUOUS)
    assert verdict(*seen, broken, quic=True).rule == "quic.timeout"
    assert verdict(*seen, broken, quic=False).rule == "quic.no_quic_here"
    assert verdict(*seen, quic(REFLECTOR, **INNOCUOUS)).technique == "quic.timeout.sni"


def test_a_closed_port_is_down_where_the_control_sees_it_closed_too() -> None:
    closed = quic(A1, REFUSED, **CLOSED)
    same = control(dns(A1, at=QUIC), closed, endpoints=(QUIC,))
    assert verdict(closed, beside=[same]).state is State.DOWN
    said = verdict(closed)
    assert (said.state, said.technique, said.rule) == ("inconclusive", None, "quic.icmp")
    assert said.evidence == ("icmp:3/3", f"icmp_from:{A1}")


def test_silence_for_everyone_is_down() -> None:
    dead = control(dns(A1, at=QUIC), quic(A1, TIMEOUT), endpoints=(QUIC,))
    assert verdict(quic(A1, TIMEOUT), quic(A1, **INNOCUOUS), beside=[dead]).state is State.DOWN


def test_without_a_control_it_is_named_and_not_accused() -> None:
    said = verdict(quic(A1, TIMEOUT), quic(A1, **INNOCUOUS), beside=[])
    assert (said.state, said.technique) == ("inconclusive", "quic.timeout.sni")
    assert "no_control" in said.evidence


def test_one_protocol_of_two_is_an_impairment() -> None:
    seen = (
        dns(A1),
        tcp(A1),
        tls(A1),
        quic(A1, TIMEOUT),
        quic(A1, TIMEOUT, **INNOCUOUS),
        quic(REFLECTOR, **OWN_HOST),
    )
    both = {"endpoints": (TLS, QUIC)}
    there = control(dns(A1), tcp(A1), tls(A1), dns(A1, at=QUIC), quic(A1), endpoints=(TLS, QUIC))
    said = verdict(*seen, beside=[there], **both)
    assert (said.state, said.technique) == ("impaired", "quic.timeout")
    assert (said.endpoints.total, said.endpoints.failed) == (2, 1)
    assert verdict(*seen, beside=[there], combine="all_of", **both).state is State.BLOCKED


def test_an_address_that_is_cut_off_altogether_is_named_by_tcp() -> None:
    seen = (
        dns(A1),
        tcp(A1, TIMEOUT),
        quic(A1, TIMEOUT),
        quic(A1, TIMEOUT, **INNOCUOUS),
        quic(REFLECTOR, **OWN_HOST),
        tcp(A1, TIMEOUT, at=QUIC, **BESIDE),
    )
    there = control(dns(A1), tcp(A1), tls(A1), dns(A1, at=QUIC), quic(A1), endpoints=(TLS, QUIC))
    said = verdict(*seen, beside=[there], endpoints=(TLS, QUIC))
    assert (said.state, said.technique) == ("blocked", "tcp.timeout")


def test_broken_ipv6_is_no_block() -> None:
    seen = (dns(V6, at=QUIC, qtype="AAAA"), quic(A1), quic(V6, TIMEOUT), quic(V6, **INNOCUOUS))
    there = control(
        dns(A1, at=QUIC), dns(V6, at=QUIC, qtype="AAAA"), quic(A1), quic(V6), endpoints=(QUIC,)
    )
    said = verdict(*seen, beside=[there], liveness=alive(v6=False))
    assert (said.state, said.evidence) == ("ok", ("ipv6_broken",))


def test_a_forged_answer_is_told_by_what_tls_shows_beside_quic() -> None:
    liar = tls(FORGED, Failure.SSL_UNKNOWN_AUTHORITY, at=QUIC, **BESIDE, **_foreign())
    seen = (quic(FORGED, TIMEOUT), tcp(FORGED, at=QUIC, **BESIDE), liar)
    said = judge(
        measured(dns(FORGED, at=QUIC), *seen, quic(A1), endpoints=(QUIC,)), alive(), [GOOD]
    )
    assert said.technique == "dns.injection.other"


def _foreign() -> dict[str, Any]:
    return {"verify_code": 20, "chain": (Certificate(sha256="f" * 64),)}


addresses = st.sampled_from([A1, A2])
handshakes = st.builds(
    lambda a, word, change, at: quic(
        REFLECTOR if change is OWN_HOST else a,
        word,
        at=at,
        **(CLOSED if word == REFUSED else {}),
        **change,
    ),
    addresses,
    st.sampled_from([None, TIMEOUT, TIMEOUT, TIMEOUT, REFUSED]),
    st.sampled_from([{}, {}, REPEAT, INNOCUOUS, OWN_HOST]),
    st.sampled_from([QUIC, QUIC, SECOND]),
)
BOTH = control(
    *(o for at in (QUIC, SECOND) for o in (dns(A1, A2, at=at), quic(A1, at=at), quic(A2, at=at))),
    endpoints=(QUIC, SECOND),
)


def whole(seen: list[QUICHandshake], known: bool | None) -> Verdict:
    names = [dns(A1, A2, at=at) for at in (QUIC, SECOND)]
    return judge(
        measured(*names, *seen, endpoints=(QUIC, SECOND)), alive(), [BOTH], others=quic_known(known)
    )


@given(st.lists(handshakes, max_size=10), st.sampled_from([None, False, True]))
@example([quic(A1, **INNOCUOUS), quic(A1, TIMEOUT), quic(A2, REFUSED, **CLOSED)], None)
@example([quic(A1, TIMEOUT), quic(A2, at=SECOND), quic(A2, REFUSED, **CLOSED)], None)
@example(
    [quic(A1, TIMEOUT, at=SECOND), quic(REFLECTOR, TIMEOUT, at=SECOND, **OWN_HOST), quic(A2)], None
)
@example([quic(A1, TIMEOUT), quic(A1, TIMEOUT, **INNOCUOUS)], True)
def test_fewer_failures_and_less_knowledge_never_open(
    seen: list[QUICHandshake], known: bool | None
) -> None:
    seen = list({(o.endpoint, o.address, o.contrast): o for o in seen}.values())
    before = whole(seen, known)
    if before.state in OPEN:
        return
    assert whole(seen, None).state not in OPEN
    for index, observation in enumerate(seen):
        if observation.failure is not None:
            fewer = seen[:index] + seen[index + 1 :]
            assert whole(fewer, known).state not in OPEN


@given(st.lists(handshakes, max_size=10))
def test_nobody_is_accused_where_no_quic_passed(seen: list[QUICHandshake]) -> None:
    dead = [o for o in seen if o.failure is not None]
    for known in (None, False):
        assert whole(dead, known).state not in OPEN


SILENCE, OK = Kind.TIMEOUT, Kind.OK


@pytest.mark.parametrize(
    ("rule", "kind", "facts"),
    [
        ("quic.answer_accused", OK, {"accused": True}),
        ("quic.certificate_valid", OK, {}),
        ("quic.repeat_valid", SILENCE, {"repeated": True}),
        ("quic.family_broken", SILENCE, {"family_dead": True, "innocuous": OK}),
        ("quic.local", Kind.LOCAL, {}),
        ("quic.machine_late", Kind.LATE, {}),
        ("quic.control_fails_too", SILENCE, {"reach": Reach.SAME, "innocuous": OK}),
        ("quic.control_fails_too", Kind.UNREACHABLE, {"reach": Reach.SAME}),
        ("quic.icmp", Kind.UNREACHABLE, {}),
        ("quic.icmp", Kind.PROHIBITED, {"innocuous": OK}),
        ("quic.foreign_certificate", Kind.CA_SIGNED, {}),
        ("quic.foreign_certificate", Kind.DATES, {"reach": Reach.DIFFERENT}),
        # By name: whatever the reflector says, another name passes.
        ("quic.timeout.sni", SILENCE, {"innocuous": OK}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "reflector": SILENCE}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "elsewhere": False}),
        ("quic.timeout.sni", SILENCE, {"innocuous": Kind.CA_SIGNED}),
        # A censor that goes on blocking the address for a while: our name dies elsewhere too.
        (
            "quic.timeout.sni",
            SILENCE,
            {"innocuous": SILENCE, "reflector": SILENCE, "elsewhere": True},
        ),
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "reflector": OK}),
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "elsewhere": True}),
        (
            "quic.timeout",
            SILENCE,
            {"innocuous": SILENCE, "reflector": Kind.UNREACHABLE, "elsewhere": True},
        ),
        ("quic.no_quic_here", SILENCE, {"innocuous": SILENCE, "reflector": SILENCE}),
        (
            "quic.no_quic_here",
            SILENCE,
            {"innocuous": SILENCE, "reflector": SILENCE, "elsewhere": False},
        ),
        ("quic.no_quic_here", SILENCE, {"reflector": SILENCE}),
        ("quic.no_quic_here", SILENCE, {"innocuous": SILENCE, "elsewhere": False}),
        # The other name came after ours: it may be dead for our name's sake.
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "tainted": True, "reflector": OK}),
        ("quic.untold", SILENCE, {"innocuous": SILENCE, "tainted": True, "elsewhere": True}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "tainted": True}),
        ("quic.at_times", SILENCE, {"innocuous": OK, "udp_at_times": True}),
        ("quic.background", SILENCE, {"innocuous": OK, "by_chance": True}),
        ("quic.line_unseen", SILENCE, {"innocuous": OK, "line_unseen": True}),
        ("quic.untold", SILENCE, {"elsewhere": True}),
        ("quic.untold", SILENCE, {"reflector": OK}),
        # Nothing else over QUIC was seen: nobody is accused.
        ("quic.unclear", SILENCE, {}),
        ("quic.unclear", SILENCE, {"innocuous": SILENCE}),
        ("quic.unclear", SILENCE, {"innocuous": SILENCE, "reflector": Kind.UNREACHABLE}),
        ("quic.unclear", Kind.ALERT, {}),
        ("quic.unclear", Kind.OTHER, {"innocuous": OK}),
    ],
)
def test_table(rule: str, kind: Kind, facts: dict[str, Any]) -> None:
    found = first(QUIC_RULES, grouped(QUICFacts, **{"kind": kind, "reach": Reach.PASSED} | facts))
    assert found is not None
    assert found.id == rule


def test_every_rule_is_in_the_table() -> None:
    (mark,) = test_table.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == {rule.id for rule in QUIC_RULES}
