"""`matrix` against a homeserver, against a site that is none, and against a censor."""

from __future__ import annotations

from probes.protocols import matrix
from probes.wire.failure import Failure
from probes.wire.observation import AppExchange, Contrast, TLSHandshake
from probes.wire.target import Endpoint
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour, http_answer, reset, serve, tls

CA = Authority()
CONTEXT = CA.issue("matrix.test").context()


def homeserver(body: bytes) -> Behaviour:
    return tls(CONTEXT, lambda request: http_answer("200 OK", body))


async def seen_of(behaviour: Behaviour) -> list[object]:
    async with serve(behaviour) as server, internet({"matrix.test": Address("127.0.0.1")}) as net:
        visit = net.visit(
            Endpoint(host="matrix.test", port=server.port, protocol="matrix", trust=CA.pem)
        )
        await matrix.measure(visit)
    return list(visit.observations)


async def test_a_homeserver():
    _, shaken, said = await seen_of(homeserver(b'{"versions": ["v1.11"]}'))
    assert isinstance(shaken, TLSHandshake)
    assert isinstance(said, AppExchange)
    assert (said.spoke, said.reply, said.transport) == (True, "versions", "tls")
    assert said.sent_bytes > 200
    assert said.received_bytes > 60


async def test_a_site_that_is_none_is_asked_twice():
    seen = await seen_of(homeserver(b"<html>hello</html>"))
    said = [o for o in seen if isinstance(o, AppExchange)]
    assert [(o.spoke, o.failure, o.contrast) for o in said] == [
        (False, None, None),
        (False, None, Contrast.REPEAT),
    ]
    assert said[0].excerpt.startswith(b"HTTP/1.1 200")


async def test_without_a_handshake_nothing_is_asked():
    seen = await seen_of(reset)
    assert not any(isinstance(o, AppExchange) for o in seen)
    assert any(isinstance(o, TLSHandshake) and o.failure == Failure.RESET for o in seen)
