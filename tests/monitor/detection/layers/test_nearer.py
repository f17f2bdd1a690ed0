"""What ended a connection stands nearer than the server: by time, and by hops."""

from __future__ import annotations

import msgspec
import pytest

from monitor.detection.judge.target import judge
from probes.wire.failure import Failure
from probes.wire.observation import PathHop, PathTrace, Purpose
from tests.monitor.detection.scenes import (
    A1,
    HTTP,
    INNOCUOUS,
    INNOCUOUS_HOST,
    REPEAT,
    TLS,
    alive,
    control,
    dns,
    http,
    measured,
    tcp,
    tls,
)

FAR, NEAR = 90_000, 11_000
"""Microseconds to a server abroad, and to a device in the vantage's network."""


def remarks(
    *ends: int,
    connects: tuple[int, ...] = (FAR, FAR),
    failure: Failure = Failure.RESET,
    again: tuple[str, ...] = (),
) -> set[str]:
    """The evidence of a name that dies so long after it was shown."""
    seen = [
        dns(A1),
        *(tcp(A1, took_us=took, evidence=again) for took in connects),
        *(tls(A1, failure, took_us=took, **(REPEAT if n else {})) for n, took in enumerate(ends)),
        tls(A1, took_us=3 * FAR, **INNOCUOUS),
    ]
    return set(judge(measured(*seen), alive(), [control()]).evidence)


@pytest.mark.parametrize("failure", [Failure.RESET, Failure.EOF])
def test_an_answer_in_less_than_half_of_the_round_trip_comes_from_nearer(failure: Failure) -> None:
    assert "sooner_than_server" in remarks(NEAR, NEAR, failure=failure)
    assert "sooner_than_server" in remarks(FAR // 2)


@pytest.mark.parametrize(
    "untold",
    [
        pytest.param(remarks(FAR // 2 + 1), id="more than half of the way"),
        pytest.param(remarks(NEAR, FAR), id="once it took as long as the server takes"),
        pytest.param(remarks(NEAR, connects=(FAR,)), id="one connect may have waited for a radio"),
        pytest.param(remarks(NEAR, connects=(FAR, NEAR)), id="the server is as near"),
        pytest.param(remarks(NEAR, again=("sent_again",)), id="the SYN was sent again"),
        pytest.param(remarks(1_000, connects=(39_000, 39_000)), id="a near server"),
        pytest.param(remarks(0), id="times were not read"),
        pytest.param(remarks(NEAR, failure=Failure.TIMEOUT), id="nothing was sent"),
    ],
)
def test_nothing_is_told_where(untold: set[str]) -> None:
    assert "sooner_than_server" not in untold


def test_a_request_in_clear_text_is_compared_as_well() -> None:
    seen = [
        dns(A1, at=HTTP),
        *(tcp(A1, at=HTTP, took_us=FAR) for _ in range(2)),
        http(A1, Failure.RESET, took_us=NEAR),
        http(A1, Failure.RESET, took_us=NEAR, **REPEAT),
        http(A1, took_us=2 * FAR, **INNOCUOUS_HOST),
    ]
    said = judge(measured(*seen, endpoints=[HTTP]), alive(), [control(endpoints=[HTTP])])
    assert "sooner_than_server" in said.evidence


def traced(*hops: PathHop) -> PathTrace:
    return PathTrace(
        endpoint=TLS.id, purpose=Purpose.CONTRAST, address=A1, port=443, sni="s", hops=hops
    )


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        (traced(PathHop(ttl=1, hello="icmp"), PathHop(ttl=2, router=A1, hello="reset")), True),
        (traced(PathHop(ttl=1, router="[scrubbed]", hello="reset")), True),
        (traced(PathHop(ttl=1, hello="icmp"), PathHop(ttl=2, hello="reset")), False),
        (traced(PathHop(ttl=1, router=A1, hello="silence"), PathHop(ttl=2, hello="reset")), False),
    ],
    ids=["a SYN expires there", "in the house", "no router tells", "routers before it tell"],
)
def test_a_hop_is_before_the_server_where_a_syn_of_the_same_life_expires(
    trace: PathTrace, told: bool
) -> None:
    seen = [dns(A1), tcp(A1), tls(A1, Failure.RESET), tls(A1, **INNOCUOUS), trace]
    said = judge(measured(*seen), alive(), [control()])
    assert ("before_server" in said.evidence) is told


@pytest.mark.parametrize(("more", "told"), [((A1, A1), True), ((None, A1), True), ((A1,), False)])
def test_a_server_some_hops_farther_away_has_no_firewall_there(
    more: tuple[str | None, ...], told: bool
) -> None:
    behind = (PathHop(ttl=n, router=router) for n, router in enumerate(more, 3))
    trace = traced(PathHop(ttl=2, router=A1, hello="reset"), *behind)
    seen = [dns(A1), tcp(A1), tls(A1, Failure.RESET), tls(A1, **INNOCUOUS), trace]
    said = judge(measured(*seen), alive(), [control()])
    assert ("hops_before_server" in said.evidence) is told


REFUSES = PathHop(ttl=3, router=A1, syn="reset")
EXPIRES = ("innocuous_expires",)


@pytest.mark.parametrize(
    ("hops", "evidence", "told"),
    [
        ((REFUSES, PathHop(ttl=7, router=A1), PathHop(ttl=8, router=A1)), EXPIRES, True),
        ((REFUSES, PathHop(ttl=7, router=A1), PathHop(ttl=9, router=A1)), EXPIRES, True),
        ((REFUSES, PathHop(ttl=7, router=A1), PathHop(ttl=8, router=A1)), (), False),
        ((REFUSES, PathHop(ttl=7, router=A1), PathHop(ttl=8)), EXPIRES, False),
        ((REFUSES, PathHop(ttl=5, router=A1), PathHop(ttl=6, router=A1)), EXPIRES, False),
        ((PathHop(ttl=1, router=A1), PathHop(ttl=2), REFUSES), EXPIRES, False),
        ((PathHop(ttl=3, router=A1), PathHop(ttl=7, router=A1)), EXPIRES, False),
    ],
    ids=[
        *("routers far behind", "one of them silent", "a proxy may answer"),
        *("another way may be longer", "a data centre", "nothing behind", "nobody refuses"),
    ],
)
def test_who_refuses_connections_hops_before_the_server_is_on_the_way(
    hops: tuple[PathHop, ...], evidence: tuple[str, ...], told: bool
) -> None:
    trace = msgspec.structs.replace(traced(*hops), sni="", evidence=evidence)
    seen = [dns(A1), tcp(A1, Failure.REFUSED, errno=111), trace]
    said = judge(measured(*seen), alive(), [control()])
    assert (said.state, said.technique) == ("blocked", "tcp.reset")
    assert ("hops_before_server" in said.evidence) is told
    assert ("acts_at_hop:3" in said.evidence) is (REFUSES in hops)


def test_a_trace_of_refusals_says_nothing_of_silence() -> None:
    trace = traced(REFUSES, PathHop(ttl=7, router=A1), PathHop(ttl=8, router=A1))
    seen = [dns(A1), tcp(A1, Failure.TIMEOUT), msgspec.structs.replace(trace, evidence=EXPIRES)]
    assert "hops_before_server" not in judge(measured(*seen), alive(), [control()]).evidence
