"""Where an interference acts, from what came back for hellos of growing length of life."""

from __future__ import annotations

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.path import hop_before_server, hops_beyond, path_remarks
from probes.wire.failure import Failure
from probes.wire.observation import PathHop, PathTrace, Purpose
from tests.monitor.detection.scenes import A1, INNOCUOUS, alive, control, dns, measured, tcp, tls

PUBLIC, NEAR = "195.0.0.9", "192.168.1.1"
DEAD, S, R = "icmp", "silence", "reset"


def trace(*hops: tuple[str | None, str | None]) -> PathTrace:
    return PathTrace(
        endpoint="srv.example:443/tls",
        purpose=Purpose.CONTRAST,
        address=A1,
        port=443,
        sni="srv.example",
        hops=tuple(PathHop(ttl=n, hello=h, router=r) for n, (h, r) in enumerate(hops, 1)),
    )


@pytest.mark.parametrize(
    ("kind", "hops", "said"),
    [
        (Kind.RESET, [(DEAD, None), (R, PUBLIC)], ("acts_at_hop:2", f"hop:{PUBLIC}")),
        (Kind.RESET, [(R, NEAR)], ("acts_at_hop:1",)),
        (Kind.RESET, [(R, "[scrubbed]")], ("acts_at_hop:1",)),
        (Kind.RESET, [(S, PUBLIC), (S, None), (R, None)], ("acts_at_hop:3",)),
        (Kind.EOF, [(DEAD, None), ("eof", None)], ("acts_at_hop:2",)),
        (Kind.ALERT, [("alert", None)], ("acts_at_hop:1",)),
        (Kind.PLAIN_HTTP, [("answer", None)], ("acts_at_hop:1",)),
        (Kind.EOF, [(DEAD, None), (R, None)], ()),
        (Kind.RESET, [(DEAD, None), (S, PUBLIC)], ()),
        (
            Kind.TIMEOUT,
            [(DEAD, None), (S, PUBLIC), (S, PUBLIC)],
            ("acts_at_hop:2", f"hop:{PUBLIC}"),
        ),
        (Kind.TIMEOUT, [(DEAD, None), (S, PUBLIC), (S, None)], ("acts_at_hop:2", f"hop:{PUBLIC}")),
        (Kind.TIMEOUT, [(S, PUBLIC), (S, PUBLIC)], ("acts_at_hop:1", f"hop:{PUBLIC}")),
        (Kind.TIMEOUT, [(S, PUBLIC), (S, None)], ()),
        (Kind.TIMEOUT, [(DEAD, None), (S, None), (S, PUBLIC)], ()),
        (Kind.TIMEOUT, [(S, PUBLIC), (DEAD, None)], ()),
        (Kind.CA_SIGNED, [("answer", None)], ()),
        (Kind.RESET, [], ()),
    ],
)
def test_remarks(kind: Kind, hops: list[tuple[str | None, str | None]], said: tuple[str]) -> None:
    assert path_remarks(kind, [trace(*hops)]) == said


@pytest.mark.parametrize(
    ("kind", "hops", "ttl"),
    [
        (Kind.RESET, [(DEAD, None), (R, PUBLIC)], 2),
        (Kind.RESET, [(DEAD, PUBLIC), (R, None)], None),
        (Kind.TIMEOUT, [(DEAD, None), (S, PUBLIC), (S, PUBLIC)], 2),
        (Kind.TIMEOUT, [(DEAD, None), (S, None), (S, PUBLIC)], None),
        (Kind.RESET, [], None),
    ],
)
def test_the_hop_before_the_server(
    kind: Kind, hops: list[tuple[str | None, str | None]], ttl: int | None
) -> None:
    hop = hop_before_server(kind, trace(*hops))
    assert (None if hop is None else hop.ttl) == ttl


@pytest.mark.parametrize(
    ("kind", "hops", "beyond"),
    [
        (Kind.RESET, [(DEAD, None), (R, PUBLIC), (None, PUBLIC), (None, PUBLIC)], 2),
        (Kind.RESET, [(R, PUBLIC), (None, None), (None, PUBLIC)], 2),
        (Kind.RESET, [(R, None), (None, PUBLIC)], 1),
        (Kind.RESET, [(DEAD, PUBLIC), (R, None)], 0),
        (Kind.TIMEOUT, [(DEAD, None), (S, PUBLIC), (S, PUBLIC), (S, PUBLIC)], 2),
        (Kind.EOF, [(DEAD, PUBLIC), (R, PUBLIC), (None, PUBLIC)], 0),
    ],
)
def test_hops_behind_it_at_which_a_syn_still_expires(
    kind: Kind, hops: list[tuple[str | None, str | None]], beyond: int
) -> None:
    assert hops_beyond(kind, trace(*hops)) == beyond


def test_it_is_told_beside_the_verdict_and_decides_nothing() -> None:
    seen = [dns(A1), tcp(A1), tls(A1, Failure.RESET), tls(A1, **INNOCUOUS)]
    plain = judge(measured(*seen), alive(), [control()])
    told = judge(measured(*seen, trace((DEAD, None), (R, PUBLIC))), alive(), [control()])
    assert (plain.state, plain.technique) == (told.state, told.technique)
    assert told.evidence == ("acts_at_hop:2", "before_server", f"hop:{PUBLIC}")
    works = [dns(A1), tcp(A1), tls(A1), trace((DEAD, None), (R, PUBLIC))]
    assert judge(measured(*works), alive(), [control()]).evidence == ()
