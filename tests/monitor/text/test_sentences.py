"""One observation in a sentence: every kind has words, and says what came back."""

from __future__ import annotations

import pytest

from monitor.text.sentences import describe_observation
from probes.wire.failure import Failure
from probes.wire.observation import (
    KNOWN,
    AppExchange,
    Known,
    PathHop,
    PathTrace,
    QUICHandshake,
    TCPConnect,
    Transfer,
)
from tests.monitor.detection.scenes import A1, HOST, dns, http, tcp, tls

AT = {"endpoint": "e", "address": A1, "port": 443}
QUIC = QUICHandshake(**AT, sni=HOST)
TRANSFER = Transfer(**AT, sni=HOST, received_bytes=70_000, took_us=2_000_000)
APP = AppExchange(**AT, protocol="stun", transport="udp")
SAID: tuple[tuple[Known, str], ...] = (
    (dns(A1), f"{HOST} (A) is {A1}"),
    (tcp(), "connected"),
    (
        TCPConnect(**AT, failure=Failure.HOST_UNREACHABLE, icmp_type=3, icmp_code=13),
        "host unreachable (ICMP: prohibited by an administrator)",
    ),
    (tls(), "handshake completed (TLS) after our TLS ClientHello for " + HOST),
    (http(), "GET http://"),
    (QUIC, f"QUIC handshake completed (v1) after our QUIC ClientHello for {HOST}"),
    (
        QUICHandshake(**AT, sni=HOST, failure=Failure.TIMEOUT, took_us=3_000_000),
        f"no answer in time 3000 ms after our QUIC ClientHello for {HOST}; no reply",
    ),
    (TRANSFER, f"70000 bytes in 2000 ms naming {HOST}"),
    (
        Transfer(**AT, sni="", failure=Failure.TIMEOUT, received_bytes=9, silence_us=4_000_000),
        "9 bytes in under 1 ms without a name, of which 4000 ms without a byte: no answer in time",
    ),
    (
        AppExchange(**AT, protocol="stun", transport="udp", spoke=True, reply="success"),
        "stun over udp: a server that speaks it answered (success)",
    ),
    (APP, "stun over udp: 0 bytes that are not of this protocol"),
    (
        PathTrace(**AT, sni=HOST, hops=(PathHop(ttl=2, router=A1, hello="silence"),)),
        f"TTL-limited ClientHello for {HOST}: 2: silence ({A1})",
    ),
    (
        PathTrace(**AT, sni="", hops=(PathHop(ttl=1), PathHop(ttl=2, router=A1, syn="reset"))),
        f"TTL-limited connections: 1: no answer in time; 2: reset ({A1})",
    ),
)


@pytest.mark.parametrize(("seen", "text"), SAID, ids=lambda each: type(each).__name__)
def test_sentence(seen: Known, text: str) -> None:
    assert describe_observation(seen)[1].startswith(text)


def test_every_kind_of_observation_has_a_sentence() -> None:
    assert {type(seen) for seen, _ in SAID} == set(KNOWN)


def test_where_it_was() -> None:
    assert describe_observation(QUIC)[0] == f"{A1} port 443"
    assert describe_observation(dns(A1))[0] == "this network's resolver over UDP"
