"""Silence counts only where the line is known to have been there."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from monitor.detection.judge.target import judge
from monitor.detection.model import State, Verdict
from monitor.detection.observed.line import line_unseen
from monitor.detection.observed.view import view
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.app_scenes import CHAT, app
from tests.monitor.detection.line_scenes import Line
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    DNS,
    HTTP,
    QUIC,
    REPEAT,
    TCP,
    TLS,
    V6,
    alive,
    control,
    dns,
    endpoint,
    http,
    measured,
    quic,
    tcp,
    tls,
)

OPEN = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
WEB = endpoint("tcp", port=80)
WAYS: dict[str, Any] = {
    "tcp": lambda on, at: on.over_tcp(TCP, at),
    "two addresses": lambda on, at: on.over_tcp(TCP, at, (A1, A2)),
    "another port": lambda on, at: on.over_tcp(WEB, at),
    "tls": lambda on, at: on.over_tls(TLS, at),
    "http": lambda on, at: on.over_tls(HTTP, at, http),
    "app": lambda on, at: on.over_app(CHAT, at),
    "quic": lambda on, at: on.over_quic(QUIC, at),
    "dns": lambda on, at: on.lookup(DNS, at),
}
REFS = {
    "tcp": TCP,
    "two addresses": TCP,
    "another port": WEB,
    "tls": TLS,
    "http": HTTP,
    "app": CHAT,
    "quic": QUIC,
    "dns": DNS,
}
"""Of `WAYS`."""


def said(line: Line, ways: list[str]) -> Verdict:
    """The verdict beside a control that reaches everything."""
    refs = list(dict.fromkeys(REFS[way] for way in ways))
    there = control(
        *(dns(A1, A2, at=ref) for ref in refs),
        *(step for ref in refs for a in (A1, A2) for step in _works(ref, a)),
        endpoints=refs,
    )
    looked_up = (dns(A1, A2, at=ref, at_us=1) for ref in refs if ref is not DNS)
    seen = sorted(line.seen, key=lambda step: getattr(step, "at_us", 0))
    return judge(measured(*looked_up, *seen, endpoints=refs), alive(), [there])


def _works(ref: Any, address: str) -> list[Any]:
    make = {"tls": tls, "http": http, "mtproto": app, "quic": quic}.get(ref.protocol)
    connects = [] if ref in (QUIC, DNS) else [tcp(address, at=ref)]
    return [*connects, *([make(address, at=ref)] if make else [])]


times = st.floats(0.0, 40.0)
lines = st.builds(
    Line,
    away=st.builds(lambda begin, length: (begin, begin + length), times, st.floats(1.0, 30.0)),
    round_trip=st.floats(0.005, 0.9),
    hosts=st.integers(0, 3),
    repeats=st.booleans(),
)
tried = st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.floats(0.01, 20.0)), max_size=4)


@given(lines, tried)
@example(Line((6.0, 21.6), round_trip=0.005), [("quic", 9.8), ("another port", 6.9)])
@example(Line((1.0, 10.0), repeats=False), [("tcp", 1.0)])
@example(Line((6.0, 12.0), repeats=False), [("tls", 5.9), ("http", 5.8)])
@example(Line((4.2, 13.0), round_trip=0.2, repeats=False), [("tcp", 10.6), ("tls", 4.8)])
@example(Line((13.5, 21.7), round_trip=0.9, repeats=False), [("quic", 13.3), ("tcp", 12.5)])
@example(Line((5.0, 20.0)), [("dns", 5.0)])
def test_no_outage_of_the_line_accuses(line: Line, tried: list[tuple[str, float]]) -> None:
    """At whatever moment of a measurement, and for however long."""
    for way, begin in tried:
        WAYS[way](line, begin)
    if tried:
        assert said(line, [way for way, _ in tried]).state not in OPEN


@pytest.mark.parametrize("repeats", [True, False], ids=["repeats", "once"])
@pytest.mark.parametrize("round_trip", [0.005, 0.6])
@pytest.mark.parametrize(
    ("way", "blocked", "technique"),
    [
        ("tcp", "tcp", "tcp.timeout"),
        ("two addresses", "tcp", "tcp.timeout"),
        ("tls", "name", "tls.timeout.sni"),
        ("tls", "payload", None),
        ("http", "name", "http.timeout.host"),
        ("app", "payload", "app.timeout"),
        ("quic", "name", "quic.timeout.sni"),
        ("dns", "dns", "dns.timeout"),
    ],
)
def test_what_is_silent_on_a_line_that_is_there_is_found(
    way: str, blocked: str, technique: str | None, round_trip: float, repeats: bool
) -> None:
    line = Line((0.0, 0.0), frozenset((blocked,)), round_trip, repeats=repeats)
    WAYS[way](line, 1.0)
    verdict = said(line, [way])
    assert (verdict.state, verdict.technique) == (State.BLOCKED, technique)


WAITED = {"at_us": 5_000_000, "took_us": 10_000_000}
MEANWHILE = {"at_us": 7_000_000, "took_us": 50_000}


@pytest.mark.parametrize(
    ("silent", "beside", "unseen"),
    [
        ({}, tcp(A2, **MEANWHILE), False),
        ({}, tcp(A2, **MEANWHILE | {"at_us": 5_100_000}), True),
        ({}, tcp(A2, **MEANWHILE | {"at_us": 9_000_000}), True),
        ({}, tcp(A2, Failure.RESET, **MEANWHILE), True),
        ({}, tcp(V6, **MEANWHILE), True),
        # Sent again, it may have come through only when the line came back.
        ({}, tcp(A2, **MEANWHILE | {"took_us": 3_000_000}, evidence=("sent_again",)), True),
        ({}, tls(A2, Failure.SSL_UNKNOWN_AUTHORITY, verify_code=20, **MEANWHILE), False),
        # It is not known when the first silence began that parts of an answer came before.
        ({"received_bytes": 9}, tcp(A2, **MEANWHILE), True),
        # Files made by hand tell no times.
        ({"at_us": 0, "took_us": 0}, tcp(A2), False),
    ],
)
def test_what_shows_that_the_line_is_there(
    silent: dict[str, Any], beside: AnyObservation, unseen: bool
) -> None:
    seen = tls(A1, Failure.TIMEOUT, **WAITED | silent)
    views = view(measured(seen, beside)).values()
    assert line_unseen(views, [seen], 4) is unseen


@pytest.mark.parametrize(("at_us", "unseen"), [(11_000_000, True), (14_500_000, False)])
def test_between_two_attempts_that_are_silent(at_us: int, unseen: bool) -> None:
    """A second outage may have begun after what was reached long before the repeat."""
    twice = [
        tls(A1, Failure.TIMEOUT, **WAITED),
        tls(A1, Failure.TIMEOUT, at_us=15_000_001, took_us=5_000_000, **REPEAT),
    ]
    views = view(measured(*twice, tcp(A1, at_us=at_us, took_us=50_000, **REPEAT))).values()
    assert line_unseen(views, twice, 4) is unseen
    assert line_unseen(views, [], 4) is False


@pytest.mark.parametrize(("at_us", "unseen"), [(7_000_000, True), (15_050_000, False)])
def test_where_the_machine_was_late_at_first(at_us: int, unseen: bool) -> None:
    """That attempt tells nothing of its own, and the next is a repeat all the same."""
    late = tcp(A1, Failure.TIMEOUT, **WAITED, evidence=("machine_late",))
    again = tcp(A1, Failure.TIMEOUT, at_us=15_000_001, took_us=5_000_000, **REPEAT)
    beside = tcp("14.0.0.1", at_us=at_us, took_us=1_000, evidence=("liveness_host",), **BESIDE)
    said = judge(measured(dns(A1), late, again, beside), alive(), [control()])
    assert said.rule == ("tcp.line_unseen" if unseen else "tcp.timeout")


@pytest.mark.parametrize(("at_us", "unseen"), [(3_500_000, True), (5_990_000, False)])
def test_where_a_router_has_no_way(at_us: int, unseen: bool) -> None:
    """Its word counts only where something was reached about when it was given twice."""
    no_way = {"took_us": 2_000, "evidence": ("icmp:1/0",)}
    twice = [
        tcp(A1, Failure.HOST_UNREACHABLE, at_us=5_000_000, **no_way),
        tcp(A1, Failure.HOST_UNREACHABLE, at_us=6_000_000, **no_way, **REPEAT),
    ]
    beside = tcp("14.0.0.1", at_us=at_us, took_us=40_000, evidence=("liveness_host",), **BESIDE)
    said = judge(measured(dns(A1), *twice, beside), alive(), [control()])
    assert said.rule == ("tcp.line_unseen" if unseen else "tcp.unreachable")
    # An attempt that is not repeated tells as much as before.
    said = judge(measured(dns(A1), twice[0]), alive(), [control()])
    assert said.rule == "tcp.unreachable"
