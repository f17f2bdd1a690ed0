"""A homeserver's versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import matrix
from probes.protocols.matrix import parse
from probes.steps.app import MAX_REPLY_BYTES, NoReply, Reply
from probes.wire.failure import Failure
from probes.wire.observation import AppExchange, Contrast, TLSHandshake
from probes.wire.target import Endpoint
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour, http_answer, reset, serve, tls

BODY = b'{"versions": ["v1.1", "v1.11"], "unstable_features": {}}'
OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = OK + b"Content-Length: %d\r\nServer: x\r\n\r\n" % len(BODY) + BODY
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def test_the_request():
    hello = matrix.request("matrix.test").payload
    assert hello.startswith(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.test\r\n")
    assert hello.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ANSWER, Reply("versions")),
        (CHUNKED + b"10\r\n" + BODY[:16] + b"\r\n%x;a=b\r\n" % len(BODY[16:]) + BODY[16:]
         + b"\r\n0\r\n\r\n", Reply("versions")),
        (CHUNKED + b"10\r\n" + BODY[:16], NoReply.INCOMPLETE),
        (OK + b"Content-Length: 2\r\n\r\n{}", NoReply.FOREIGN),
        (OK + b"Content-Length: 2\r\n\r\n[]", NoReply.FOREIGN),
        (OK + b"Content-Length: 3\r\n\r\nno!", NoReply.FOREIGN),
        (b"HTTP/1.1 451 No\r\nContent-Length: 0\r\n\r\n", NoReply.FOREIGN),
        (b"220 mail.test", NoReply.FOREIGN),
        (OK + b"x: " + b"x" * MAX_REPLY_BYTES, NoReply.FOREIGN),
        (OK + b"\r\n" + b"x" * MAX_REPLY_BYTES, NoReply.FOREIGN),
        (b"", NoReply.INCOMPLETE),
    ],
)  # fmt: skip
def test_answers(answer: bytes, said: object):
    assert parse(answer) == said


def test_every_part_of_an_answer_is_incomplete():
    assert {parse(ANSWER[:n]) for n in range(len(ANSWER))} == {NoReply.INCOMPLETE}


@given(st.binary(max_size=200))
def test_any_bytes_can_be_parsed(noise: bytes):
    for head in (b"", OK, CHUNKED, OK + b"Content-Length: 9\r\n\r\n"):
        assert isinstance(parse(head + noise), Reply | NoReply)


CA = Authority()
CONTEXT = CA.issue("matrix.test").context()


def homeserver(body: bytes) -> Behaviour:
    return tls(CONTEXT, lambda request: http_answer("200 OK", body))


async def seen_of(behaviour: Behaviour) -> list[object]:
    async with serve(behaviour) as server, internet({"matrix.test": Address("127.0.0.1")}) as net:
        run = net.run(
            Endpoint(host="matrix.test", port=server.port, protocol="matrix", trust=CA.pem)
        )
        await matrix.measure(run)
    return list(run.observations)


async def test_a_homeserver():
    _, shaken, said = await seen_of(homeserver(b'{"versions": ["v1.11"]}'))
    assert isinstance(shaken, TLSHandshake)
    assert isinstance(said, AppExchange)
    assert (said.spoke, said.reply, said.transport) == (True, "versions", "tls")
    assert said.sent_bytes > 200
    assert said.received_bytes > 60


async def test_another_site_gets_two_requests():
    seen = await seen_of(homeserver(b"<html>hello</html>"))
    said = [o for o in seen if isinstance(o, AppExchange)]
    assert [(o.spoke, o.failure, o.contrast) for o in said] == [
        (False, None, None),
        (False, None, Contrast.REPEAT),
    ]
    assert said[0].excerpt.startswith(b"HTTP/1.1 200")


async def test_without_a_handshake_no_request_is_sent():
    seen = await seen_of(reset)
    assert not any(isinstance(o, AppExchange) for o in seen)
    assert any(isinstance(o, TLSHandshake) and o.failure == Failure.RESET for o in seen)
