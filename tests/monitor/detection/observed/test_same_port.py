"""Whether a network lets a port out, by what innocuous hosts do there and at a control."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.model import State, Technique
from monitor.detection.observed.background import RoundBackground
from probes.wire.failure import Failure
from probes.wire.observation import (
    SAME_PORT,
    AnyObservation,
    Contrast,
    PathHop,
    PathTrace,
    Purpose,
)
from tests.monitor.detection.app_scenes import CHAT, PAGE, app, chat, foreign, twice
from tests.monitor.detection.scenes import (
    A1,
    REFLECTOR,
    alive,
    control,
    dns,
    endpoint,
    measured,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import verdict

XMPP = endpoint("tcp", port=5222)
HOST, OTHER, SIX = "14.0.0.1", "14.0.0.2", "2400::14"
SILENT, CLOSED = Failure.TIMEOUT, {"failure": Failure.REFUSED, "errno": 111}
PROHIBITED = {"failure": Failure.HOST_UNREACHABLE, "icmp_type": 3, "icmp_code": 13}


BESIDE: dict[str, Any] = {"purpose": Purpose.CONTRAST, "evidence": (SAME_PORT,)}


def beside(address: str, failure: Any = None, **other: Any) -> AnyObservation:
    return tcp(address, failure, at=XMPP, **BESIDE | other)


def subject(how: Any) -> list[AnyObservation]:
    given = how if isinstance(how, dict) else {"failure": how}
    return [dns(A1, at=XMPP), tcp(A1, at=XMPP, **given)]


def judged(how: Any, here: list[AnyObservation], there: list[AnyObservation]) -> Any:
    works = control(dns(A1, at=XMPP), tcp(A1, at=XMPP), *there, endpoints=(XMPP,))
    return verdict(*subject(how), *here, endpoints=(XMPP,), beside=[works])


@pytest.mark.parametrize(
    ("how", "here", "there"),
    [
        (SILENT, [beside(HOST, SILENT)], [beside(HOST, **CLOSED)]),
        (SILENT, [beside(HOST, SILENT)], [beside(HOST)]),
        (SILENT, [beside(REFLECTOR, SILENT), beside(HOST, SILENT)], [beside(HOST, **CLOSED)]),
        (CLOSED, [beside(HOST, **CLOSED)], [beside(HOST)]),
        (PROHIBITED, [beside(HOST, **PROHIBITED)], [beside(HOST, **CLOSED)]),
    ],
    ids=["dropped", "dropped, and open", "one unknown", "reset by the network", "prohibited"],
)
def test_the_network_lets_no_such_port_out(
    how: Any, here: list[AnyObservation], there: list[AnyObservation]
) -> None:
    said = judged(how, here, there)
    assert (said.state, said.rule) == (State.INCONCLUSIVE, "tcp.port_shut")
    assert "port_shut" in said.evidence


@pytest.mark.parametrize(
    ("how", "here", "there", "technique"),
    [
        (SILENT, [], [], Technique.TCP_TIMEOUT),
        (SILENT, [beside(HOST, SILENT)], [], Technique.TCP_TIMEOUT),
        (SILENT, [], [beside(HOST)], Technique.TCP_TIMEOUT),
        (SILENT, [beside(HOST, SILENT)], [beside(HOST, SILENT)], Technique.TCP_TIMEOUT),
        (SILENT, [beside(HOST, SILENT)], [beside(OTHER)], Technique.TCP_TIMEOUT),
        (SILENT, [beside(HOST, **CLOSED)], [beside(HOST, **CLOSED)], Technique.TCP_TIMEOUT),
        (SILENT, [beside(HOST, SILENT), beside(OTHER)], [beside(HOST), beside(OTHER)],
         Technique.TCP_TIMEOUT),
        (SILENT, [beside(SIX, SILENT)], [beside(SIX)], Technique.TCP_TIMEOUT),
        (CLOSED, [beside(HOST, **CLOSED)], [beside(HOST, **CLOSED)], Technique.TCP_RESET),
        (CLOSED, [beside(HOST, SILENT)], [beside(HOST)], Technique.TCP_RESET),
    ],
    ids=["not asked", "no control asked", "asked there alone", "silent for everybody",
         "another host", "answers here", "one answers", "another family", "closed for everybody",
         "ends otherwise"],
)  # fmt: skip
def test_nothing_shows_that_it_is_the_network(
    how: Any, here: list[AnyObservation], there: list[AnyObservation], technique: Technique
) -> None:
    said = judged(how, here, there)
    assert (said.state, said.technique) == (State.BLOCKED, technique)


@pytest.mark.parametrize(
    ("reached", "here", "blocked"),
    [
        (0, [tcp(REFLECTOR, SILENT, **BESIDE)], False),
        (1, [tcp(REFLECTOR, SILENT, **BESIDE)], True),
        (0, [tcp(REFLECTOR, **BESIDE)], True),
        (0, [], True),
    ],
    ids=["nothing is reached", "another service is", "our host is", "our host was not tried"],
)
def test_a_network_that_lets_only_listed_hosts_through(
    reached: int, here: list[AnyObservation], blocked: bool
) -> None:
    """Liveness passes at this port; our own host is on no list, nor is any service."""
    works = control(dns(A1), tcp(A1), tls(A1), tcp(REFLECTOR, **BESIDE))
    others = RoundBackground(targets_dialled=9, targets_reached=reached)
    seen = measured(dns(A1), tcp(A1, SILENT), *here)
    said = judge(seen, alive(), [works], others=others)
    assert (said.state is State.BLOCKED) is blocked
    assert ("port_shut" in said.evidence) is not blocked


def ours(failure: str | None = None, **other: Any) -> AnyObservation:
    """Other first bytes at our own host."""
    given = {"contrast": Contrast.REFLECTOR, "purpose": Purpose.CONTRAST, "spoke": False}
    return app(REFLECTOR, failure, **given | {"reply": None} | other)


ALERT = ours(excerpt=b"\x15\x03\x03\x00\x02\x02\x0a")
SIGN_IN = ours(excerpt=PAGE)


@pytest.mark.parametrize(
    ("here", "there", "rule"),
    [
        (ours(Failure.RESET), ALERT, "app.any_bytes"),
        (ours(Failure.RESET), None, "app.reset"),
        (None, ALERT, "app.reset"),
        (ALERT, ALERT, "app.reset"),
        (ours(Failure.RESET), ours(Failure.RESET), "app.reset"),
        (ours(Failure.EOF), ALERT, "app.reset"),
    ],
)
def test_whatever_bytes_are_reset(
    here: AnyObservation | None, there: AnyObservation | None, rule: str
) -> None:
    works = control(*chat(app()), *([there] if there else []), endpoints=(CHAT,))
    seen = chat(*twice(Failure.RESET), *([here] if here else []))
    said = verdict(*seen, endpoints=(CHAT,), beside=[works])
    assert said.rule == rule
    assert (said.state is State.BLOCKED) is (rule == "app.reset")


@pytest.mark.parametrize(
    ("here", "there", "blocked"),
    [(SIGN_IN, ALERT, False), (ALERT, ALERT, True), (SIGN_IN, SIGN_IN, True), (None, ALERT, True)],
)
def test_a_page_for_whatever_bytes(
    here: AnyObservation | None, there: AnyObservation, blocked: bool
) -> None:
    works = control(*chat(app()), there, endpoints=(CHAT,))
    page = (foreign(PAGE), foreign(PAGE, contrast=Contrast.REPEAT))
    said = verdict(*chat(*page, *([here] if here else [])), endpoints=(CHAT,), beside=[works])
    assert (said.rule == "http.blockpage") is blocked
    assert ("any_bytes" in said.evidence) is not blocked


@pytest.mark.parametrize(
    ("how", "evidence", "rule"),
    [
        (CLOSED, ("innocuous_refused",), "tcp.port_shut"),
        (CLOSED, ("innocuous_expires",), "tcp.reset"),
        (CLOSED, (), "tcp.reset"),
        (SILENT, ("innocuous_refused",), "tcp.timeout"),
    ],
    ids=["refused as well", "not refused", "not compared", "another failure"],
)
def test_hosts_that_would_refuse_themselves_are_refused_on_the_way(
    how: Any, evidence: tuple[str, ...], rule: str
) -> None:
    trace = PathTrace(
        endpoint=XMPP.id,
        address=A1,
        port=5222,
        sni="",
        evidence=evidence,
        hops=(PathHop(ttl=2, syn="reset"),),
    )
    hosts = [beside(HOST, **CLOSED)]
    said = judged(how, [*hosts, trace], hosts)
    assert (said.rule, said.technique is None) == (rule, rule == "tcp.port_shut")
