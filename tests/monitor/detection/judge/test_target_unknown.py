"""What no rule expects ends as inconclusive, with what was seen as its evidence; whatever comes,
nothing is accused without a control. Random sequences of every kind of observation.
"""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.judge.target import judge
from monitor.detection.model import State
from probes.wire.codec import decode, encode
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import (
    KNOWN,
    AnyObservation,
    AppExchange,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    PathHop,
    PathTrace,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
    Unrecognised,
)
from tests.monitor.detection.app_scenes import app as app_exchange
from tests.monitor.detection.scenes import (
    A1,
    A2,
    FORGED,
    REFLECTOR,
    V6,
    alive,
    control,
    dns,
    measured,
)
from tests.monitor.detection.scenes import endpoint as ref
from tests.monitor.detection.scenes import http as http_exchange
from tests.monitor.detection.scenes import quic as quic_handshake
from tests.monitor.detection.scenes import tcp as tcp_connect
from tests.monitor.detection.scenes import tls as tls_handshake

ACCUSING = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
RULES = {rule.id for rule in ALL_RULES} | {"target.insufficient", "target.works"}
PROTOCOLS = ("tls", "https", "tcp", "http", "quic", "dns", "mtproto", "stun", "later")
REFS = [ref(p, port=80 if p == "http" else 443) for p in PROTOCOLS]

places = st.sampled_from([A1, A2, V6, FORGED, REFLECTOR, "10.0.0.1", "::1", "not.an.address"])
words = st.none() | st.sampled_from([*Failure, "unknown_failure: x", "eof_of_the_world", ""])
small = st.none() | st.integers(-5, 300)
counts = st.integers(0, 10**6)
common = {
    "endpoint": st.sampled_from([each.id for each in REFS]) | st.just("elsewhere:1/tls"),
    "purpose": st.sampled_from(Purpose),
    "contrast": st.none() | st.sampled_from(Contrast),
    "at_us": counts,
    "took_us": counts,
    "failure": words,
    "evidence": st.lists(st.sampled_from(["system_root", "sent_again", "x"]), max_size=2).map(
        tuple
    ),
}
placed = common | {"address": places, "port": st.sampled_from([80, 443, 0])}
icmp = {"icmp_type": small, "icmp_code": small, "errno": small}
names = st.sampled_from(["srv.example", "harmless.example", ""])
replies = st.builds(
    DNSReply,
    after_us=counts,
    rcode=st.integers(0, 23),
    answers=st.lists(places, max_size=3).map(tuple),
)
hops = st.builds(
    PathHop,
    ttl=st.integers(1, 16),
    router=st.none() | places,
    hello=st.none() | st.sampled_from(["silence", "reset", "eof", "alert", "answer", "icmp", "x"]),
)
kinds = {
    DNSLookup: common
    | {
        "name": names,
        "qtype": st.sampled_from(["A", "AAAA", "HTTPS"]),
        "resolver": st.sampled_from(["system", "ref", "silent"]),
        "transport": st.sampled_from(["udp", "tcp", "doh", "dot"]),
        "replies": st.lists(replies, max_size=3).map(tuple),
    },
    TCPConnect: placed | icmp,
    TLSHandshake: placed
    | {"sni": names, "alert": small, "verify_code": small, "plain_http": st.booleans()},
    QUICHandshake: placed | {"sni": names, "close_code": st.none() | counts, "verify_code": small},
    HTTPExchange: placed
    | {"host": names, "status": small, "tls": st.booleans(), "location": st.none() | names},
    Transfer: placed
    | {"sni": names, "turn": st.integers(0, 9), "received_bytes": counts, "wanted_bytes": counts},
    AppExchange: placed
    | {"protocol": st.sampled_from(["mtproto", "stun", "x"]), "spoke": st.booleans()},
    PathTrace: placed | {"sni": names, "hops": st.lists(hops, max_size=5).map(tuple)},
}
anything = st.one_of(
    *(st.builds(kind, **fields) for kind, fields in kinds.items()),
    st.just(Unrecognised(step="smoke", raw=b'{"step":"smoke"}')),
)
sequences = st.lists(anything, max_size=25)


def whole(observations: list[AnyObservation], how: str = "any_of") -> Measurement:
    return measured(*observations, endpoints=REFS, combine=how)


def test_every_kind_is_drawn() -> None:
    assert set(kinds) == set(KNOWN)


@given(
    sequences, st.lists(sequences, max_size=2), st.booleans(), st.sampled_from(["any_of", "all_of"])
)
def test_total(observations, beyond, online, how) -> None:  # type: ignore[no-untyped-def]
    subject = decode(encode(whole(observations, how)))
    controls = [(whole(seen), alive()) for seen in beyond]
    said = judge(subject, alive(international=(online,) * 3), controls)
    assert said.rule in RULES
    assert said.evidence == tuple(sorted(set(said.evidence)))
    msgspec.json.encode(said)
    if not online:
        assert said.state not in ACCUSING


@given(sequences, st.sampled_from(["any_of", "all_of"]))
def test_nothing_is_accused_without_a_control(observations, how) -> None:  # type: ignore[no-untyped-def]
    said = judge(whole(observations, how), alive(), [])
    assert said.state not in ACCUSING
    assert not any(finding.blocked for finding in said.findings)
    if said.technique is not None:
        assert said.state is State.INCONCLUSIVE
        assert "no_control" in said.evidence


strange = st.sampled_from(["unknown_failure: kraken", "eof_of_the_world", "quantum_error"])
harmless = st.lists(
    st.one_of(
        st.builds(PathTrace, **kinds[PathTrace]),
        st.builds(lambda word: tls_handshake(A1, word, purpose=Purpose.CONTRAST,
                  contrast=Contrast.INNOCUOUS_NAME, sni="harmless.example"), words),
        st.builds(lambda word: tcp_connect(A1, word, purpose=Purpose.CONTRAST,
                  contrast=Contrast.INNOCUOUS_NAME), words),
        st.just(Unrecognised(step="smoke", raw=b'{"step":"smoke"}')),
    ),
    max_size=6,
)  # fmt: skip


def ways(protocol: str, word: str) -> tuple[EndpointRef, list[AnyObservation], str]:
    """An endpoint whose last step ends in a way that nobody knows; and the name of that step."""
    at = ref(protocol, port=80 if protocol == "http" else 443)
    named, reached = dns(A1, at=at), tcp_connect(A1, at=at)
    match protocol:
        case "dns":
            odd = DNSReply(after_us=1, rcode=9)  # NOTAUTH, RFC 8945
            lookup = msgspec.structs.replace(named, replies=(odd,), failure=word)
            return at, [lookup], "dns"
        case "tcp":
            return at, [named, tcp_connect(A1, word, at=at)], "tcp"
        case "tls":
            return at, [named, reached, tls_handshake(A1, word, at=at)], "tls"
        case "http":
            return at, [named, reached, http_exchange(A1, word, at=at)], "http"
        case "https":
            shaken = tls_handshake(A1, at=at)
            return at, [named, reached, shaken, http_exchange(A1, word, at=at)], "http"
        case "quic":
            return at, [named, quic_handshake(A1, word, at=at)], "quic"
        case _:
            return at, [named, reached, app_exchange(A1, word, at=at)], "app"


@pytest.mark.parametrize("protocol", ["dns", "tcp", "tls", "http", "https", "quic", "mtproto"])
@given(strange, harmless)
def test_what_no_rule_expects_is_inconclusive_and_says_what_it_was(  # type: ignore[no-untyped-def]
    protocol, word, beside
) -> None:
    at, observations, layer = ways(protocol, word)
    moved = [
        o if isinstance(o, Unrecognised) else msgspec.structs.replace(o, endpoint=at.id)
        for o in beside
    ]
    works = [dns(A1, at=at), tcp_connect(A1, at=at), tls_handshake(A1, at=at)]
    works += [
        {
            "http": http_exchange, "https": http_exchange, "quic": quic_handshake,
            "mtproto": app_exchange,
        }.get(protocol, tls_handshake)(A1, at=at)
    ]  # fmt: skip
    beyond = control(*works, endpoints=(at,))
    said = judge(measured(*observations, *moved, endpoints=(at,)), alive(), [beyond])
    assert (said.state, said.technique) == ("inconclusive", None)
    if layer == "app":  # there a rule says that it is somebody else who answers
        assert (said.rule, said.evidence) == ("app.foreign", ("foreign_answer",))
    else:
        assert said.rule == f"{layer}.unclear"
        assert f"{layer}:other" in said.evidence
