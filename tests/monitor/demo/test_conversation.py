from __future__ import annotations

import dns.message
import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.conversation import (
    Action,
    BlockPageConversation,
    DoHConversation,
    FramedDNS,
    Silence,
    WebConversation,
    page,
)
from monitor.demo.nameserver import Nameserver

SERVER = Nameserver({"a.test": "127.1.1.3"}, {})
REQUEST = b"GET / HTTP/1.1\r\nHost: web.wechat.test:8080\r\n\r\n"


def test_every_request_gets_its_page_however_it_is_cut() -> None:
    web = WebConversation("WeChat")
    answers = b"".join(web.feed(bytes((byte,))).payload for byte in REQUEST * 2)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"<title>WeChat</title>" in answers


@pytest.mark.parametrize(
    ("technique", "status", "action"),
    [
        ("http.blockpage", b"HTTP/1.1 403", Action.CLOSE),
        ("http.redirect", b"HTTP/1.1 302", Action.CLOSE),
        ("http.451", b"HTTP/1.1 451", Action.CLOSE),
        ("http.reset.host", b"", Action.RESET),
        ("http.timeout.host", b"", Action.SILENCE),
        (None, b"HTTP/1.1 200", Action.GO_ON),
    ],
)
def test_the_provider_decides_by_host(technique: str | None, status: bytes, action: Action) -> None:
    def censor(host: str) -> str | None:
        return technique if host == "web.wechat.test" else "http.reset.host"

    turn = WebConversation("WeChat", censor).feed(REQUEST)
    assert turn.payload.startswith(status)
    assert turn.action is action


def test_a_request_without_end_is_refused() -> None:
    assert WebConversation("x").feed(b"a" * 20_000).action is Action.CLOSE


def test_titles_are_escaped() -> None:
    assert b"<script>" not in page("200 OK", "<script>", "<script>")


def test_block_page_and_silence() -> None:
    assert b"restricted" in BlockPageConversation("").feed(REQUEST).payload
    assert Silence().feed(REQUEST).payload == b""


def test_dns_messages_are_framed_however_they_are_cut() -> None:
    query = dns.message.make_query("a.test", "A").to_wire()
    framed = len(query).to_bytes(2, "big") + query
    start = FramedDNS(SERVER, "127.1.1.101")
    answers = b"".join(start.feed(bytes((byte,))).payload for byte in framed * 2)
    length = int.from_bytes(answers[:2], "big")
    assert len(answers) == 2 * (2 + length)
    assert dns.message.from_wire(answers[2 : 2 + length]).answer


def test_dns_over_http2() -> None:
    start = DoHConversation(SERVER, "127.1.1.101")
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for body in (dns.message.make_query("a.test", "A", id=0).to_wire(), b"nonsense"):
        stream = client.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/q")]
        client.send_headers(stream, head)
        client.send_data(stream, body, end_stream=True)
    events = client.receive_data(start.feed(client.data_to_send()).payload)
    statuses = [
        dict(event.headers or [])[b":status"]
        for event in events
        if isinstance(event, h2.events.ResponseReceived)
    ]
    bodies = [event.data for event in events if isinstance(event, h2.events.DataReceived)]
    assert statuses == [b"200", b"400"]
    assert dns.message.from_wire(bodies[0] or b"").answer


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_or_end_the_connection(noise: bytes) -> None:
    for start in (
        WebConversation("x", lambda host: None),
        FramedDNS(SERVER, "127.1.1.101"),
        DoHConversation(SERVER, "127.1.1.101"),
    ):
        start.feed(noise)
