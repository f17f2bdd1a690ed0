"""The HTTP step over clear text, TLS and h2, and what hostile servers send."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time

import msgspec
import pytest

from probes.net import tls
from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.http import LEAN_BODY, MAX_BODY, MAX_RECEIVED, clear_answer, exchange
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import Contrast, HTTPExchange
from tests.world import tls_server
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour, http_answer
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()
NAME = "wechat.test"
LEAF = CA.issue(NAME)


def survives_the_wire(seen: HTTPExchange) -> None:
    measurement = Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="a/b",
        round=0,
        started=0,
        observations=(seen,),
    )
    assert decode(encode(measurement)) == measurement


async def ask(
    behaviour: Behaviour,
    *,
    alpn: tuple[str, ...] | None = None,
    timeout: float = HANG_SECONDS,
    contrast: Contrast | None = None,
    **changes,
):
    """One exchange; TLS when `alpn` is given. Returns what was seen, the date, the server."""
    async with tls_server.serve(behaviour) as server:
        stream = await LAB.connect(server.address, server.port)
        client = None
        if alpn is not None:
            client = tls.TLSClient(tls.context_for("default", CA.pem, alpn=alpn), NAME)
            await tls.handshake(stream, client)
        step = StepContext(
            LAB,
            "wechat.test:80/http",
            server.address,
            server.port,
            LAB.clock_us(),
            contrast=contrast,
            timeout=timeout,
        )
        seen, date = await exchange(step, stream, client, **{"host": NAME, "path": "/"} | changes)
        stream.close()
    survives_the_wire(seen)
    return seen, date, server


async def test_clear_answer_with_everything():
    body = b"<html><head><TITLE>\n Hello &amp; w\xc3\xb6rld </TITLE></head></html>"
    headers = "Server: nginx\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
    seen, date, server = await ask(tls_server.clear_http("200 OK", body, headers), path="/x?y=1")
    assert (seen.failure, seen.status, seen.title, seen.server) == (
        None,
        200,
        "Hello & wörld",
        "nginx",
    )
    assert (seen.body_bytes, seen.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen.excerpt == body
    assert (seen.tls, seen.protocol, seen.path) == (False, "http/1.1", "/x?y=1")
    assert date == 1795521600000
    request = server.hellos[0]
    assert request.startswith(b"GET /x?y=1 HTTP/1.1\r\nHost: wechat.test:")
    assert b"Mozilla/5.0" in request
    for word in (b"reach", b"watch", b"probe", b"h11", b"python"):
        assert word not in request.lower()
    assert seen.sent_bytes == len(request)


@pytest.mark.parametrize(("alpn", "protocol"), [(("http/1.1",), "http/1.1"), (("h2",), "h2")])
async def test_over_tls_speaks_what_was_negotiated(alpn: tuple[str, ...], protocol: str):
    answer = http_answer("200 OK", b"<title>in</title>", "Server: x\r\n")
    behaviour = tls_server.tls(LEAF.context(alpn), lambda request: answer)
    seen, _, _ = await ask(behaviour, alpn=alpn)
    assert (seen.failure, seen.status, seen.protocol, seen.tls) == (None, 200, protocol, True)
    assert (seen.title, seen.server, seen.excerpt) == ("in", "x", b"")
    assert seen.body_bytes == 17
    assert seen.sent_bytes > 100
    assert seen.received_bytes > 17


async def test_what_a_server_pushes_is_no_answer():
    answer = http_answer("200 OK", b"<title>in</title>")
    behaviour = tls_server.tls(LEAF.context(("h2",)), lambda _: answer, push=b"an advertisement")
    seen, _, _ = await ask(behaviour, alpn=("h2",))
    assert (seen.failure, seen.status, seen.title, seen.body_bytes) == (None, 200, "in", 17)


@pytest.mark.parametrize("alpn", [("http/1.1",), ("h2",)])
@pytest.mark.parametrize(
    ("status", "headers", "kept"),
    [
        ("403 Forbidden", "", True),
        ("451 Unavailable", "", True),
        ("302 Found", "Location: https://block.example/\r\n", True),
        ("302 Found", "Location: https://www.wechat.test/\r\n", False),
        ("302 Found", "Location: /login\r\n", False),
        ("302 Found", "Location: http://[bad/\r\n", True),
        ("404 Not Found", "", False),
    ],
)
async def test_excerpt_only_when_unexpected(alpn, status: str, headers: str, kept: bool):
    answer = http_answer(status, b"body", headers)
    seen, _, _ = await ask(tls_server.tls(LEAF.context(alpn), lambda r: answer), alpn=alpn)
    assert seen.status == int(status[:3])
    assert bool(seen.excerpt) is kept
    assert (seen.location or "") == headers.removeprefix("Location: ").strip()


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (tls_server.reset, "connection_reset"),
        (tls_server.fin, "eof_error"),
        (tls_server.silence, "generic_timeout_error"),
        (tls_server.drip(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500), "generic_timeout_error"),
        (tls_server.raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "http_request_failed"),
        (tls_server.raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000), "http_request_failed"),
        (tls_server.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "http_request_failed"),
        (tls_server.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"), "eof_error"),
    ],
)
async def test_death_of_an_exchange(behaviour: Behaviour, failure: str):
    timeout = 0.5 if failure == "generic_timeout_error" else HANG_SECONDS
    seen, date, _ = await ask(behaviour, timeout=timeout)
    assert seen.failure == failure
    assert date is None


async def test_what_came_before_the_end_is_kept():
    seen, _, _ = await ask(
        tls_server.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n<title>half</title>")
    )
    assert (seen.failure, seen.status, seen.title, seen.body_bytes) == (
        "eof_error",
        200,
        "half",
        19,
    )


async def test_answer_that_ends_with_the_connection_is_complete():
    seen, _, _ = await ask(tls_server.raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
    assert (seen.failure, seen.body_bytes) == (None, 13)


async def test_huge_body_is_capped_and_ends():
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"z" * 3_000_000
    seen, _, _ = await ask(tls_server.raw(huge))
    assert (seen.failure, seen.status, seen.body_bytes) == (None, 200, MAX_BODY)
    assert len(seen.excerpt) == 2048
    assert seen.received_bytes < 300_000


async def test_hostile_text_is_cleaned():
    body = b"<title>\x00\x1b[31m&#0;&#27;&#55296;<script>alert(1)</script>" + b"t" * 5000
    headers = f"Server: {'s' * 3000}\r\nLocation: http://h\u00e9/{'l' * 3000}\r\n"
    raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + headers.encode("latin-1") + b"\r\n" + body
    seen, _, _ = await ask(tls_server.raw(raw + b"</title>"))
    assert seen.status == 200
    assert len(seen.server or "") <= 512
    assert len(seen.location or "") <= 512
    small, _, _ = await ask(
        tls_server.raw(b"HTTP/1.1 200 OK\r\n\r\n<title>\x00\x1b[31m&#0;&#27;<b>x</title>")
    )
    assert small.title is not None
    assert "\x1b" not in small.title
    assert "<b>x" in small.title


async def test_no_verify_keeps_an_excerpt():
    behaviour = tls_server.tls(LEAF.context(), lambda r: http_answer("200 OK", b"page"))
    seen, _, _ = await ask(behaviour, alpn=(), contrast=Contrast.NO_VERIFY)
    assert seen.excerpt == b"page"


def test_clear_answer_in_place_of_tls():
    options = {
        "endpoint": "e",
        "address": "192.0.2.1",
        "port": 443,
        "host": NAME,
        "path": "/",
        "at_us": 7,
    }
    head = http_answer("302 Found", b"<title>Blocked</title>", "Location: http://block.test/\r\n")
    seen = clear_answer(head, **options)
    assert (seen.status, seen.location, seen.title) == (302, "http://block.test/", "Blocked")
    assert (seen.contrast, seen.tls, seen.at_us) == (Contrast.NO_VERIFY, False, 7)
    cut = clear_answer(head[:-10], **options)
    assert (cut.status, cut.body_bytes) == (302, 12)
    bare = clear_answer(b"<html><title>No</title>", **options)
    assert (bare.status, bare.title, bare.excerpt) == (None, "No", b"<html><title>No</title>")
    for each in (seen, cut, bare):
        survives_the_wire(each)
    assert msgspec.structs.asdict(bare)["failure"] is None


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999",
        "Mon, 01 Jan 2024 00:00:00 \xb2",
    ],
)
async def test_a_date_that_is_none_costs_only_the_date(date: str):
    seen, read, _ = await ask(tls_server.clear_http("451 No", b"blocked", f"Date: {date}\r\n"))
    assert (seen.status, seen.excerpt, read) == (451, b"blocked", None)


async def test_a_date_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        header = "Date: Tue, 24 Nov 2026 12:00:00 -0000\r\n"
        _, date, _ = await ask(tls_server.clear_http("200 OK", b"", header))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert date == 1795521600000


@pytest.mark.parametrize("alpn", [None, ("http/1.1",), ("h2",)])
async def test_only_the_beginning_of_a_page_is_read(alpn: tuple[str, ...] | None):
    body = b"<title>t</title>" + b"z" * 200_000
    behaviour = tls_server.clear_http("200 OK", body)
    if alpn is not None:
        behaviour = tls_server.tls(LEAF.context(alpn), lambda _: http_answer("200 OK", body))
    seen, _, _ = await ask(behaviour, alpn=alpn, max_body=LEAN_BODY)
    assert (seen.failure, seen.status, seen.title) == (None, 200, "t")
    assert (seen.body_bytes, seen.body_truncated) == (LEAN_BODY, True)
    if alpn == ("h2",):
        assert seen.received_bytes < 2 * LEAN_BODY


async def test_whoever_says_much_before_a_status_is_left():
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
                await writer.drain()

    server = await asyncio.start_server(talkative, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = await LAB.connect("127.0.0.1", port)
        step = StepContext(LAB, "e", "127.0.0.1", port, 0, timeout=HANG_SECONDS)
        seen, _ = await exchange(step, stream, None, host=NAME, path="/")
        stream.close()
    assert (seen.failure, seen.status) == ("http_request_failed", None)
    assert seen.received_bytes < 2 * MAX_RECEIVED


async def test_a_body_made_of_titles_is_read_at_once():
    body = b"<title>" * 9000 + b"</title>"
    begun = time.process_time()
    seen, _, _ = await ask(tls_server.clear_http("200 OK", body))
    assert seen.body_bytes == len(body)
    assert time.process_time() - begun < 0.5
