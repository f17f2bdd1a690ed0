"""Whatever far sides present, a Measurement fits one packet and keeps the facts that matter."""

from __future__ import annotations

import hashlib
import os

from probes.endpoint.size_limits import (
    MAX_CERTIFICATE_BYTES,
    MAX_EXCERPT_BYTES,
    MAX_LINE,
    fit_size_limits,
)
from probes.wire.bounds import MAX_OBSERVATIONS
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    Certificate,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)


def measurement(*observations) -> Measurement:
    return Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="wechat/login",
        round=0,
        started=0,
        observations=observations,
    )


def tls_handshake(*ders: bytes) -> TLSHandshake:
    chain = tuple(Certificate(sha256=hashlib.sha256(d).hexdigest(), der=d) for d in ders)
    return TLSHandshake(endpoint="e", address="192.0.2.1", port=443, sni="a", chain=chain)


def test_an_ordinary_measurement_is_left_alone():
    whole = measurement(
        tls_handshake(b"leaf", b"root"),
        HTTPExchange(endpoint="e", address="192.0.2.1", port=80, host="a", excerpt=b"page"),
        Unrecognised(step="smoke", raw=b'{"step":"smoke"}'),
    )
    assert fit_size_limits(whole) == whole


def test_a_certificate_without_its_bytes_still_tells_its_key():
    leaf = Certificate(sha256="a" * 64, der=b"leaf", key=b"of leaf", authority=b"of it")
    shake = TLSHandshake(endpoint="e", address="192.0.2.1", port=443, sni="a", chain=(leaf,))
    kept = fit_size_limits(measurement(shake, shake)).observations
    assert [o.chain[0].der for o in kept] == [b"leaf", b""]
    assert [(o.chain[0].key, o.chain[0].authority) for o in kept] == [(b"of leaf", b"of it")] * 2


def test_the_same_certificate_is_carried_once():
    kept = fit_size_limits(
        measurement(tls_handshake(b"a", b"root"), tls_handshake(b"b", b"root"))
    ).observations
    assert [[c.der for c in o.chain] for o in kept] == [[b"a", b"root"], [b"b", b""]]
    assert kept[1].chain[1].sha256 == hashlib.sha256(b"root").hexdigest()


def test_certificates_and_excerpts_have_a_budget():
    many = [tls_handshake(*(os.urandom(16384) for _ in range(10))) for _ in range(16)]
    pages = [
        HTTPExchange(endpoint="e", address="192.0.2.1", port=80, host="a", excerpt=os.urandom(2048))
        for _ in range(64)
    ]
    kept = fit_size_limits(measurement(*many, *pages))
    assert len(kept.observations) == 80
    carried = sum(len(c.der) for o in kept.observations[:16] for c in o.chain)
    assert carried == MAX_CERTIFICATE_BYTES
    assert len(encode(kept)) <= MAX_LINE
    assert decode(encode(kept)) == kept


def test_no_fact_is_lost_to_the_certificates_of_quic_and_the_excerpts_of_apps():
    where = {"endpoint": "e", "address": "192.0.2.1", "port": 443}
    many = [
        QUICHandshake(
            **where, sni="a", chain=tls_handshake(*(os.urandom(16384) for _ in range(10))).chain
        )
        for _ in range(16)
    ]
    said = [AppExchange(**where, protocol="xmpp", excerpt=os.urandom(256)) for _ in range(128)]
    kept = fit_size_limits(measurement(*many, *said)).observations
    assert len(kept) == 144
    assert sum(len(c.der) for o in kept[:16] for c in o.chain) == MAX_CERTIFICATE_BYTES
    assert sum(len(o.excerpt) for o in kept[16:]) == MAX_EXCERPT_BYTES


def test_facts_go_last_and_references_first():
    reply = DNSReply(after_us=1, rcode=0, answers=tuple(f"192.0.2.{i}" for i in range(60)))
    lookups = [
        DNSLookup(
            endpoint="e" * 200,
            purpose=Purpose.REFERENCE,
            name="n" * 200,
            qtype="A",
            resolver="r",
            replies=(reply,) * 8,
        )
        for _ in range(1500)
    ]
    connects = [TCPConnect(endpoint="e", address="192.0.2.1", port=i) for i in range(700)]
    kept = fit_size_limits(measurement(*lookups, *connects))
    assert len(kept.observations) <= MAX_OBSERVATIONS
    assert len(encode(kept)) <= MAX_LINE
    ports = [o.port for o in kept.observations if isinstance(o, TCPConnect)]
    assert ports == list(range(len(ports)))
    assert len(ports) > 200
