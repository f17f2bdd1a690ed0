"""The TLS step against every interference that needs no kernel: all are told apart."""

from __future__ import annotations

import hashlib
import time

import pytest

from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.tls import handshake
from tests.world import tls_server
from tests.world.pki import Authority, self_signed
from tests.world.tls_server import Behaviour
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()
NAME = "wechat.test"
LEAF = CA.issue(NAME)
GOOD = tls_server.tls(LEAF.context(alpn=("h2",)))


async def tls_handshake(
    behaviour: Behaviour, *, network=LAB, timeout: float = HANG_SECONDS, **changes
):
    async with tls_server.serve(behaviour) as server:
        stream = await network.connect(server.address, server.port)
        began = LAB.clock_us()
        step = StepContext(
            network, "wechat.test:443/tls", server.address, server.port, began, timeout=timeout
        )
        seen, client = await handshake(step, stream, **{"trust": CA.pem, "sni": NAME} | changes)
        stream.close()
    return seen, client


async def test_good():
    seen, client = await tls_handshake(GOOD, alpn=("h2", "http/1.1"))
    assert seen.failure is None
    assert (seen.version, seen.alpn, seen.verify_code) == ("TLSv1.3", "h2", 0)
    assert [(c.sha256, c.der) for c in seen.chain] == [(hashlib.sha256(LEAF.der).hexdigest(), b"")]
    assert seen.hello_bytes > 1400
    assert seen.sent_bytes > seen.hello_bytes
    assert client.done


class Recounted(SocketNetwork):
    """Two packets were sent again, and at each look so many had arrived twice. Its clock goes on by
    a second where the handshake and the last look end."""

    def __init__(self, *twice: int) -> None:
        super().__init__(guard=Guard(allow_private=True))
        self._again, self._twice = iter((1, 3)), list(twice)
        self._us = iter((0, 1_000_000, 1_000_000, 1_000_000, 2_000_000))

    def packets_sent_again(self, stream) -> int:
        return next(self._again)

    def packets_arrived_twice(self, stream) -> int:
        return self._twice.pop(0)

    def clock_us(self) -> int:
        return next(self._us)


@pytest.mark.parametrize(
    ("twice", "evidence"),
    [
        ((2,), ("sent_again", "sent_again_answered")),
        ((1, 2), ("sent_again", "sent_again_answered")),
        ((1, 1), ("sent_again",)),
    ],
)
async def test_what_was_late_is_not_lost(twice, evidence):
    seen, _ = await tls_handshake(GOOD, network=Recounted(*twice))
    assert (seen.failure, seen.evidence) == (None, evidence)


async def test_classical_profile_is_small():
    seen, _ = await tls_handshake(GOOD, profile="classical")
    assert (seen.failure, seen.profile, seen.hello_bytes) == (None, "classical", 517)


@pytest.mark.parametrize(
    ("behaviour", "failure", "errno", "alert", "plain"),
    [
        (tls_server.reset, "connection_reset", 104, None, False),
        (tls_server.fin, "eof_error", None, None, False),
        (tls_server.silence, "generic_timeout_error", None, None, False),
        (tls_server.drip(b"\x16\x03\x03\x40\x00"), "generic_timeout_error", None, None, False),
        (tls_server.alert(40), "ssl_failed_handshake", None, 40, False),
        (tls_server.alert(112), "ssl_failed_handshake", None, 112, False),
        (tls_server.alert(80), "ssl_failed_handshake", None, 80, False),
        (
            tls_server.clear_http("403 Forbidden", b"<title>Blocked</title>"),
            "ssl_failed_handshake",
            None,
            None,
            True,
        ),
        (tls_server.raw(b"\x00garbage" * 9), "ssl_failed_handshake", None, None, False),
    ],
)
async def test_kinds_of_interference_are_distinguished(
    behaviour: Behaviour, failure: str, errno: int | None, alert: int | None, plain: bool
):
    timeout = 0.5 if failure == "generic_timeout_error" else HANG_SECONDS
    seen, _ = await tls_handshake(behaviour, timeout=timeout)
    assert (seen.failure, seen.errno, seen.alert, seen.plain_http) == (
        failure,
        errno,
        alert,
        plain,
    )
    assert seen.sent_bytes >= seen.hello_bytes > 0
    assert seen.chain == ()
    assert seen.verify_code is None


async def test_bytes_back_tell_what_triggered():
    by_hello, _ = await tls_handshake(tls_server.reset)
    assert by_hello.received_bytes == 0

    def after_reply(connection, first):
        connection.sendall(b"\x16\x03\x03\x40\x00partial")
        time.sleep(0.05)
        tls_server.reset(connection, first)

    later, _ = await tls_handshake(after_reply)
    assert (later.failure, later.received_bytes) == ("connection_reset", 12)


@pytest.mark.parametrize(
    ("leaf", "sni", "failure", "code"),
    [
        (self_signed(NAME), NAME, "ssl_unknown_authority", 18),
        (Authority("National Filter CA").issue(NAME), NAME, "ssl_unknown_authority", 19),
        (LEAF, "linkedin.test", "ssl_invalid_hostname", 62),
        (CA.issue(NAME, start=-60, days=30), NAME, "ssl_invalid_certificate", 10),
        (CA.issue(NAME, start=9), NAME, "ssl_invalid_certificate", 9),
    ],
)
async def test_foreign_certificates_are_facts(leaf, sni: str, failure: str, code: int):
    seen, _ = await tls_handshake(tls_server.tls(leaf.context()), sni=sni)
    assert (seen.failure, seen.verify_code, seen.alert) == (failure, code, None)
    assert seen.chain[0].der == leaf.der
    assert seen.chain[0].sha256 == hashlib.sha256(leaf.der).hexdigest()
    assert seen.received_bytes > 500


async def test_unverified_contrast_keeps_the_leaf_only():
    leaf = self_signed("other.test")
    seen, _ = await tls_handshake(tls_server.tls(leaf.context()), verify=False)
    assert (seen.failure, seen.verify_code) == (None, None)
    assert [c.der for c in seen.chain] == [b""]


async def test_oversized_certificates_travel_as_hashes():
    many = CA.issue(NAME, *(f"{'x' * 60}{i}.test" for i in range(300)))
    seen, _ = await tls_handshake(tls_server.tls(many.context()), trust=Authority("Other").pem)
    assert len(many.der) > 16384
    assert seen.chain[0].der == b""
    assert seen.chain[0].sha256 == hashlib.sha256(many.der).hexdigest()


async def test_address_without_a_name_shows_none():
    leaf = CA.issue("127.0.0.1")
    seen, _ = await tls_handshake(tls_server.tls(leaf.context()), sni="")
    assert (seen.failure, seen.sni, seen.verify_code) == (None, "", 0)
