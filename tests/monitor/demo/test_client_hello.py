from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.client_hello import server_name


def hello(name: str | None) -> bytes:
    """The ClientHello that this machine's OpenSSL makes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_the_name_of_a_real_hello_is_read() -> None:
    assert server_name(hello("web.wechat.test")) == "web.wechat.test"
    assert server_name(hello(None)) == ""


def test_an_incomplete_hello_waits_for_the_rest() -> None:
    whole = hello("web.wechat.test")
    for length in range(len(whole)):
        assert server_name(whole[:length]) is None


def test_what_is_no_hello_shows_no_name() -> None:
    assert server_name(b"GET / HTTP/1.1\r\n") == ""
    assert server_name(bytes((22, 3, 1, 0, 4, 2, 0, 0, 0))) == ""


@given(st.binary(max_size=600), st.integers(0, 600))
def test_any_bytes_give_a_name_or_none(noise: bytes, cut: int) -> None:
    whole = hello("web.wechat.test")
    for received in (noise, whole[:cut] + noise + whole[cut:]):
        assert isinstance(server_name(received), str | None)
