"""`http` asks in clear; when that dies, an innocuous host tells whether the name is the cause."""

from __future__ import annotations

import pytest

from probes.protocols import http
from probes.wire.observation import Contrast, HTTPExchange, Purpose
from probes.wire.target import Endpoint, SNIContrast
from tests.world import tls_server
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import PATIENT, SHORT, internet
from tests.world.tls_server import Behaviour, by_name

NAME = "wechat.test"
GOOD = tls_server.clear_http("200 OK", b"<title>Welcome</title>")


async def measure(behaviour: Behaviour, **options: object):
    async with tls_server.serve(behaviour) as server, internet({NAME: Address("127.0.0.1")}) as net:
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="http"), **options)
        await http.measure(run)
    return [o for o in run.observations if isinstance(o, HTTPExchange)], server


async def test_a_good_answer_has_title_and_excerpt():
    seen, server = await measure(GOOD)
    assert [(o.status, o.title, o.failure) for o in seen] == [(200, "Welcome", None)]
    assert seen[0].excerpt
    assert len(server.hellos) == 1


@pytest.mark.parametrize(
    ("interference", "failure"),
    [
        (tls_server.reset, "connection_reset"),
        (tls_server.silence, "generic_timeout_error"),
        (tls_server.fin, "eof_error"),
    ],
)
async def test_filtered_by_host_name(interference: Behaviour, failure: str):
    seen, _ = await measure(
        by_name({NAME: interference}, otherwise=GOOD),
        timeouts=SHORT if interference is tls_server.silence else PATIENT,
    )
    unlisted = seen.pop(1)  # before the known name, which shows that nothing else is wrong
    assert unlisted.host.endswith(".example")
    assert (unlisted.contrast, unlisted.failure) == (Contrast.INNOCUOUS_NAME, None)
    assert [(o.contrast, o.host, o.failure) for o in seen] == [
        (None, NAME, failure),
        (Contrast.INNOCUOUS_NAME, "innocuous.test", None),
        (Contrast.REPEAT, NAME, failure),
    ]


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (GOOD, False),
        (tls_server.clear_http("302 Found", b"", f"Location: https://www.{NAME}/\r\n"), False),
        (tls_server.clear_http("302 Found", b"", "Location: http://portal.test2/\r\n"), True),
        (tls_server.clear_http("403 Forbidden", b"no"), True),
    ],
    ids=["a page", "its own site", "another site", "a refusal"],
)
async def test_our_own_host_is_asked_where_an_answer_is_odd(
    monkeypatch: pytest.MonkeyPatch, answer: Behaviour, asked: bool
):
    async with (
        tls_server.serve(answer) as server,
        tls_server.serve(GOOD, "127.0.0.3") as ours,
        internet(
            {NAME: Address("127.0.0.1")}, sni=SNIContrast(address=f"127.0.0.3:{ours.port}")
        ) as net,
    ):
        monkeypatch.setattr(http, "PORT", ours.port)
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="http"))
        await http.measure(run)
    there = [o for o in run.observations if getattr(o, "contrast", None) is Contrast.REFLECTOR]
    assert {o.address for o in there} == ({"127.0.0.3"} if asked else set())
    assert [o.host.endswith(".example") for o in there if isinstance(o, HTTPExchange)] == [
        True for _ in range(asked)
    ]


async def test_innocuous_first_where_the_last_round_failed_and_nothing_in_a_retest():
    seen, _ = await measure(
        by_name({NAME: tls_server.reset}, otherwise=GOOD), failed_last_round=True
    )
    first = [Contrast.INNOCUOUS_NAME, Contrast.INNOCUOUS_NAME]
    assert [o.contrast for o in seen] == [*first, None, Contrast.REPEAT]
    seen, _ = await measure(tls_server.reset, contrasts=False, repeats=False)
    assert [o.contrast for o in seen] == [None]


async def test_another_address_is_asked_without_an_own_answer_and_beside_an_unconfirmed_one():
    page = tls_server.clear_http("200 OK", b"<title>Notice</title>kindly contact your operator")
    async with (
        tls_server.serve(page, "127.0.0.66") as own,
        tls_server.serve(GOOD, "127.0.0.1", own.port) as _,
    ):
        for answer, titles in (
            (Address("127.0.0.1"), ["Welcome"]),
            (Address("127.0.0.66"), ["Notice", "Welcome"]),
            (Rcode("NXDOMAIN"), ["Welcome"]),
        ):
            async with internet({NAME: answer}, reference={NAME: Address("127.0.0.1")}) as net:
                run = net.run(Endpoint(host=NAME, port=own.port, protocol="http"))
                await http.measure(run)
            seen = [o for o in run.observations if isinstance(o, HTTPExchange)]
            assert [o.title for o in seen] == titles
            assert {(o.purpose, o.contrast) for o in seen} == {(Purpose.SUBJECT, None)}
            assert all(o.shape is not None for o in seen)
