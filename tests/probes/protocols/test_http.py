"""`http` asks in clear; when that dies, an innocuous host tells whether the name is the cause."""

from __future__ import annotations

import pytest

from probes.protocols import http
from probes.wire.observation import Contrast, HTTPExchange, Purpose
from probes.wire.target import Endpoint
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
    assert [(o.contrast, o.host, o.failure) for o in seen] == [
        (None, NAME, failure),
        (Contrast.INNOCUOUS_NAME, "innocuous.test", None),
        (Contrast.REPEAT, NAME, failure),
    ]


async def test_innocuous_first_where_the_last_round_failed_and_nothing_in_a_retest():
    seen, _ = await measure(
        by_name({NAME: tls_server.reset}, otherwise=GOOD), failed_last_round=True
    )
    assert [o.contrast for o in seen] == [Contrast.INNOCUOUS_NAME, None, Contrast.REPEAT]
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
