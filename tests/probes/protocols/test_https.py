"""`https` asks once, over the first good connection, in the protocol that was negotiated."""

from __future__ import annotations

import pytest

from probes.protocols import https
from probes.wire.observation import Contrast, HTTPExchange, TLSHandshake
from probes.wire.target import Endpoint
from tests.world import tls_server
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import internet
from tests.world.pki import Authority
from tests.world.tls_server import http_answer

CA = Authority()
LEAF = CA.issue("wechat.test")


def endpoint(port: int, **changes: object) -> Endpoint:
    values: dict[str, object] = {
        "host": "wechat.test",
        "port": port,
        "protocol": "https",
        "trust": CA.pem,
        "alpn": ("h2", "http/1.1"),
        "path": "/login",
    }
    return Endpoint(**(values | changes))


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_one_request_in_all(protocol: str):
    answer = http_answer("200 OK", b"ok", "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n")
    behaviour = tls_server.tls(LEAF.context((protocol,)), lambda r: answer)
    async with (
        tls_server.serve(behaviour) as first,
        tls_server.serve(behaviour, "127.0.0.2", first.port),
        internet({"wechat.test": Address("127.0.0.1", "127.0.0.2")}) as net,
    ):
        run = net.run(endpoint(first.port))
        await https.measure(run)
    exchanges = [o for o in run.observations if isinstance(o, HTTPExchange)]
    assert [(o.status, o.protocol, o.path, o.tls) for o in exchanges] == [
        (200, protocol, "/login", True)
    ]
    assert run.dates_ms[0][0] == 1795521600000


async def test_a_request_that_dies_is_repeated_from_a_fresh_port():
    def die(request: bytes) -> bytes:
        raise EOFError

    async with (
        tls_server.serve(tls_server.tls(LEAF.context(), die)) as server,
        internet({"wechat.test": Address("127.0.0.1")}) as net,
    ):
        run = net.run(endpoint(server.port))
        await https.measure(run)
        retest = net.run(endpoint(server.port), repeats=False)
        await https.measure(retest)
    exchanges = [o for o in run.observations if isinstance(o, HTTPExchange)]
    assert [o.contrast for o in exchanges] == [None, Contrast.REPEAT]
    assert {o.failure for o in exchanges} <= {"eof_error", "connection_reset"}
    assert sum(isinstance(o, HTTPExchange) for o in retest.observations) == 1
    assert len(server.hellos) == 3


async def test_without_a_good_own_answer_another_address_is_asked():
    behaviour = tls_server.tls(LEAF.context(("h2",)), lambda r: http_answer("200 OK", b"ok"))
    async with (
        tls_server.serve(behaviour) as server,
        internet(
            {"wechat.test": Rcode("SERVFAIL")}, reference={"wechat.test": Address("127.0.0.1")}
        ) as net,
    ):
        run = net.run(endpoint(server.port))
        await https.measure(run)
    seen = [o for o in run.observations if isinstance(o, HTTPExchange | TLSHandshake)]
    assert [(type(o), o.contrast, o.failure) for o in seen] == [
        (TLSHandshake, None, None),
        (TLSHandshake, Contrast.REPEAT, None),
        (HTTPExchange, None, None),
    ]
