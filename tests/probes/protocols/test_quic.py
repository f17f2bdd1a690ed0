"""`quic` and its contrasts, against real servers that interfere by name or altogether."""

from __future__ import annotations

import logging

import pytest

from probes.endpoint.endpoint_run import EndpointRun
from probes.net import quic as client
from probes.protocols import quic
from probes.wire.observation import (
    Contrast,
    DNSLookup,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Endpoint, SNIContrast
from tests.world import quic_server, tls_server
from tests.world.dns_server import Address
from tests.world.loopback import SHORT, internet
from tests.world.pki import Authority, self_signed
from tests.world.ports import free_port
from tests.world.quic_server import EVERY

NAME, HARMLESS = "wechat.test", "innocuous.test"
CA = Authority()
LEAF, FOREIGN = CA.issue(NAME), self_signed("other.test")


async def measure(dead=(), *, mirror_dead=(), leaf=LEAF, reference=None, **options):
    """Measure one endpoint on 127.0.0.1 beside TLS on the same port; what was seen, in order."""
    async with (
        quic_server.serve(FOREIGN, "127.0.0.3", dead=mirror_dead) as mirror,
        tls_server.serve(tls_server.tls(LEAF.context(alpn=("h2",)))) as web,
        quic_server.serve(leaf, port=web.port, dead=dead) as server,
        internet(
            {NAME: Address("127.0.0.1")},
            reference=reference,
            sni=SNIContrast(innocuous=HARMLESS, address=f"127.0.0.3:{mirror.port}"),
        ) as net,
    ):
        service = Endpoint(host=NAME, port=web.port, protocol="quic", trust=CA.pem)
        run = net.run(service, timeouts=SHORT, **options)
        await quic.measure(run)
        seen = await net.finish(run)
    return seen, server, mirror


def shakes(seen) -> list[tuple[Contrast | None, bool]]:
    return [(o.contrast, o.failure is None) for o in seen if isinstance(o, QUICHandshake)]


def over_tcp(seen) -> list[tuple[type, Purpose, Contrast | None, str | None]]:
    return [
        (type(o), o.purpose, o.contrast, o.failure)
        for o in seen
        if isinstance(o, TCPConnect | TLSHandshake)
    ]


TCP_FINE = [
    (TCPConnect, Purpose.CONTRAST, None, None),
    (TLSHandshake, Purpose.CONTRAST, None, None),
]


async def test_a_good_endpoint_gets_no_contrasts():
    seen, server, mirror = await measure()
    assert shakes(seen) == [(None, True)]
    assert over_tcp(seen) == []
    assert (server.names, mirror.names) == ([NAME], [])


async def test_filtered_by_name():
    seen, server, mirror = await measure(dead={NAME}, mirror_dead={NAME})
    assert shakes(seen) == [
        (None, False),
        (Contrast.REPEAT, False),
        (Contrast.INNOCUOUS_NAME, True),
        (Contrast.REPEAT, False),
        (Contrast.INNOCUOUS_NAME, True),  # to our own host
        (Contrast.REFLECTOR, False),
        (Contrast.REFLECTOR, False),
    ]
    assert over_tcp(seen) == TCP_FINE
    assert server.names == [NAME, NAME, HARMLESS, NAME]
    assert mirror.names == [HARMLESS, NAME, NAME]
    tls = next(o for o in seen if isinstance(o, TLSHandshake))
    assert (tls.alpn, tls.sni, tls.verify_code) == ("h2", NAME, 0)


@pytest.mark.parametrize(
    ("dead", "mirror_dead", "passes_after", "last"),
    [
        ({NAME}, set(), 3, (Contrast.REPEAT, True)),
        ({EVERY}, {NAME}, 5, (Contrast.REFLECTOR, True)),
    ],
)
async def test_a_line_that_was_away_is_no_filter(
    dead: set[str],
    mirror_dead: set[str],
    passes_after: int,
    last: tuple[Contrast, bool],
    monkeypatch: pytest.MonkeyPatch,
):
    """The name is shown once more after another one passed, at our own host as well."""
    handshake, made = EndpointRun.quic_handshake, []

    async def counted(*given, **options):
        made.append(await handshake(*given, **options))
        if len(made) == passes_after:
            dead.clear()
            mirror_dead.clear()
        return made[-1]

    monkeypatch.setattr(EndpointRun, "quic_handshake", counted)
    seen, _, _ = await measure(dead, mirror_dead=mirror_dead)
    assert [passes for _, passes in shakes(seen)[:2]] == [False, False]
    assert shakes(seen)[passes_after:] == [last]


async def test_filtered_by_address():
    seen, _, mirror = await measure(dead={EVERY})
    assert shakes(seen) == [
        (None, False),
        (Contrast.REPEAT, False),
        (Contrast.INNOCUOUS_NAME, False),
        (Contrast.INNOCUOUS_NAME, True),  # to our own host
        (Contrast.REFLECTOR, True),
    ]
    assert mirror.names == [HARMLESS, NAME]


async def test_the_innocuous_name_goes_first_where_the_last_round_failed():
    seen, server, _ = await measure(dead={NAME}, failed_last_round=True)
    assert [c for c, _ in shakes(seen)] == [
        Contrast.INNOCUOUS_NAME,
        None,
        Contrast.REPEAT,
        Contrast.INNOCUOUS_NAME,
        Contrast.REFLECTOR,
    ]
    assert server.names[0] == HARMLESS


@pytest.mark.parametrize("residual", [True, False])
async def test_within_the_residual_time_the_innocuous_name_says_so(residual: bool):
    seen, _, _ = await measure(dead={NAME}, failed_last_round=True, residual=residual)
    first = next(o for o in seen if isinstance(o, QUICHandshake))
    assert first.contrast is Contrast.INNOCUOUS_NAME
    assert first.evidence == (("after_trigger",) if residual else ())


async def test_a_retest_shows_the_name_once():
    seen, server, mirror = await measure(dead={NAME}, contrasts=False, repeats=False)
    assert shakes(seen) == [(None, False)]
    assert over_tcp(seen) == []
    assert (server.names, mirror.names) == ([NAME], [])


async def test_someone_elses_certificate_is_no_reason_for_contrasts():
    seen, _, _ = await measure(leaf=FOREIGN, reference={NAME: Address("127.0.0.1", "127.0.0.9")})
    assert [(o.address, o.verify_code) for o in seen if isinstance(o, QUICHandshake)][:1] == [
        ("127.0.0.1", 18)
    ]
    assert {o.address for o in seen if isinstance(o, QUICHandshake)} == {
        "127.0.0.1",
        "127.0.0.9",
        "127.0.0.3",  # the reflector, for the second one is not there
    }


async def test_a_closed_port_is_distinguished():
    port = free_port()
    async with internet({NAME: Address("127.0.0.1")}) as net:
        run = net.run(Endpoint(host=NAME, port=port, protocol="quic"), timeouts=SHORT)
        await quic.measure(run)
    first = next(o for o in run.observations if isinstance(o, QUICHandshake))
    assert (first.failure, first.icmp_type, first.icmp_code) == ("connection_refused", 3, 3)
    assert shakes(run.observations)[1] == (Contrast.REPEAT, False)


async def test_without_the_extra_a_warning_is_logged_once_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(client, "available", lambda: False)
    quic._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            seen, server, _ = await measure()
            assert [o for o in seen if not isinstance(o, DNSLookup)] == []
            assert server.sizes == []
    (line,) = caplog.messages
    assert "reachwatch[quic]" in line
    quic._warn_once.cache_clear()
