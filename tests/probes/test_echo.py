"""Servers that tell whoever asks the address they see, in every protocol: none of it is published.

The measurements are a real round's; they are scrubbed and encoded as the daemon does, and searched,
also inside of what is base64 there.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import random
import struct
from collections.abc import Iterator

import pytest

from probes.privacy.scrub import scrub
from probes.privacy.withheld import without_quotations
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan
from probes.wire.codec import encode
from probes.wire.measurement import Measurement
from probes.wire.observation import DNSLookup, HTTPExchange, TLSHandshake
from probes.wire.target import SNIContrast, Target
from tests.probes.test_hostile import CLEAR, ENCRYPTED, TIMEOUTS, harmful, target
from tests.probes.test_hostile_datagrams import telling
from tests.world import quic_server, tls_server
from tests.world.dns_server import Address, Behaviour
from tests.world.loopback import internet
from tests.world.pki import self_signed

V4, V6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
OWN = (V4, V6, "hal-laptop")
NAMED = ("hal-laptop", V4, V4.replace(".", "-"), V6, V6.replace(":", "-"), "34.216.184.93")
PACKED = tuple(ipaddress.ip_address(a).packed for a in (V4, V6))
NAMED = tuple(word.encode() for word in (*NAMED, *(each.hex() for each in PACKED)))
TOLD = f"You are {V4} ({V6}), hal-laptop, x{V4.replace('.', '-')}.isp.test".encode()
PAGE = b"<html><title>%s</title>%s" % (TOLD, TOLD)


def http(status: str, *headers: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nServer: %s\r\nX-Client: %s\r\n" % (
        status.encode(), len(PAGE), TOLD, TOLD,
    )  # fmt: skip
    return head + b"".join(line + b"\r\n" for line in headers) + b"\r\n" + PAGE


ECHOES = {
    "403": http("403 Forbidden"),
    "451": http("451 No"),
    "a redirect": http(
        "302 Found", b"Location: http://deny.test/?ip=%s&u=" % V4.encode() + V6.encode()
    ),
    "a redirect in base64": http(
        "302 Found", b"Location: http://deny.test/?d=" + base64.b64encode(b"ip=%s;" % V4.encode())
    ),
    "a bare page": PAGE,
    "XML": b"<?xml version='1.0'?><stream:stream from='%s' to='%s'>" % (TOLD, TOLD),
    "something": TOLD,
}  # fmt: skip


async def published(
    targets: list[Target], system: dict[str, Behaviour] | None = None
) -> list[Measurement]:
    """Measure and search what would leave; returns what was seen before scrubbing."""
    seen: list[Measurement] = []
    sni = SNIContrast(innocuous="innocuous.test")
    table = system or {"wechat.test": Address("127.0.0.1")}
    async with internet(table, sni=sni) as lab:
        await measure_round(
            lab.setup(timeouts=TIMEOUTS),
            RoundPlan(targets=targets, round_ms=1_795_521_600_000, interval_ms=0),
            emit=seen.append,
            rng=random.Random(1),
        )
    for measurement in seen:
        clean = scrub(measurement, OWN)
        lines = map(encode, (clean, without_quotations(clean)))
        for each in spread([json.loads(line) for line in lines]):
            found = [word for word in NAMED if word in each.lower()]
            assert not found + [word for word in PACKED if word in each], each
    return seen


def spread(value: object) -> Iterator[bytes]:
    """Every text inside, and what it is when it is base64."""
    match value:
        case str():
            yield value.encode()
            try:
                yield base64.b64decode(value, validate=True)
            except ValueError:
                pass
        case dict():
            for key, inner in value.items():
                yield from spread(key)
                yield from spread(inner)
        case list():
            for inner in value:
                yield from spread(inner)


@pytest.mark.parametrize("how", ECHOES)
async def test_apps_and_pages(how: str) -> None:
    async with (
        harmful(lambda: iter([ECHOES[how]])) as (clear,),
        harmful(lambda: iter([ECHOES[how]]), "http/1.1") as (tls,),
    ):
        seen = await published(
            [target(clear, p) for p in CLEAR] + [target(tls, p) for p in ENCRYPTED]
        )
    assert any(V4.encode() in encode_raw(m) for m in seen), "they did tell"


def encode_raw(measurement: Measurement) -> bytes:
    return b"\n".join(spread(json.loads(encode(measurement))))


async def test_certificates_and_what_is_behind_them() -> None:
    leaf = self_signed("wechat.test", V4, V6, f"{V4.replace('.', '-')}.isp.test", subject=V4)
    page = http("200 OK")
    async with (
        tls_server.serve(tls_server.tls(leaf.context(), lambda _: page)) as server,
        quic_server.serve(leaf) as quic,
    ):
        seen = await published(
            [target(server.port, "https"), target(server.port, "tls"), target(quic.port, "quic")]
        )
    shaken = [o for m in seen for o in m.observations if isinstance(o, TLSHandshake)]
    assert any(V4.encode() in c.der for o in shaken for c in o.chain)
    assert any(o.excerpt for m in seen for o in m.observations if isinstance(o, HTTPExchange))
    # Neither is there a hash over what was struck out, to be guessed.
    hashes = {c.sha256 for o in shaken for c in o.chain if c.der}
    hashes |= {
        str(o.body_sha256)
        for m in seen
        for o in m.observations
        if isinstance(o, HTTPExchange) and o.excerpt
    }
    lines = b"".join(encode(scrub(m, OWN)) for m in seen if m.observations)
    assert not any(word.encode() in lines for word in hashes)


async def test_a_stun_server_tells_the_mapped_address() -> None:
    def reply(asked: bytes) -> list[bytes]:
        plain = ipaddress.ip_address(V4).packed
        crossed = bytes(a ^ b for a, b in zip(plain, asked[4:8], strict=True))
        told = b"".join(
            struct.pack("!HHBBH", kind, 8, 0, 1, 4242) + address
            for kind, address in ((0x0001, plain), (0x0020, crossed))
        ) + struct.pack("!HH", 0x8022, 16) + V4.encode().ljust(16)  # fmt: skip
        return [struct.pack("!HH", 0x0101, len(told)) + asked[4:20] + told, TOLD]

    async with telling(reply) as (port, _):
        (seen,) = await published([target(port, "stun")])
    assert any(getattr(o, "spoke", False) for o in seen.observations)


async def test_a_resolver_that_answers_with_our_own_address() -> None:
    alias = f"{V4.replace('.', '-')}.isp.test"
    (seen,) = await published(
        [target(9, "dns")], {"wechat.test": Address(V4, V6, aliases=(alias, f"x.{alias}"))}
    )
    lookups = [o for o in seen.observations if isinstance(o, DNSLookup)]
    assert any(V4 in o.answers for o in lookups)
    assert any(alias in r.cnames for o in lookups for r in o.replies)
