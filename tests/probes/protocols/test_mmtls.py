"""WeChat's first exchange on both links: the request, and every reply that may come."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import mmtls
from probes.steps.app import AppRequest, NoReply, Parsed, Reply
from tests.world import app_servers

NOW_MS = 1_795_000_000_123


def both(record: bytes) -> list[Parsed]:
    """The reading of a record on the long link and on the short one."""
    long, short = mmtls.request(NOW_MS), mmtls.short_link_request("short.test", NOW_MS)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(record)
    return [long.parse(record), short.parse(head + record)]


def hello(request: AppRequest) -> bytes:
    return request.payload[request.payload.index(b"\x16\xf1\x04") :]


def answer(request: AppRequest) -> bytes:
    record = hello(request)
    return app_servers.server_hello(record[:5], record[5:])


def test_the_hello_is_built_as_published():
    record = hello(mmtls.request(NOW_MS))
    # Lengths and constants of citizenlab/wechat-security-report docs/mmtls-network-format.md, for a
    # hello without a ticket: 226 bytes with the head, as public clients send it.
    assert len(record) == 226
    assert record[:14] == bytes.fromhex("16f10400dd 000000d9 0104f1 01c0")
    assert record[14] == 0x2B
    assert struct.unpack_from("!I", record, 47) == (NOW_MS // 1000,)
    assert record[51:56] == bytes.fromhex("000000ab01")
    assert record[56:63] == bytes.fromhex("000000a6001002")
    for at in (73, 148):
        key = record[at : at + 65]
        assert record[at - 10 : at - 6] == bytes.fromhex("00000047")
        assert record[at - 2 : at] == b"\x00\x41"
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)


def test_the_short_link_posts_the_hello():
    request = mmtls.short_link_request("short.test", NOW_MS)
    head, _, body = request.payload.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /mmtls/")
    assert b"\r\nHost: short.test\r\n" in head
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    assert body == hello(request)


def test_a_server_hello():
    request = mmtls.request(NOW_MS)
    said = answer(request)
    assert both(said) == [Reply("server_hello")] * 2
    assert both(said.replace(b"\x16\xf1\x04", b"\x16\xf1\x03")) == [Reply("server_hello")] * 2
    assert {mmtls.parse(said[:n]) for n in range(len(said))} == {NoReply.INCOMPLETE}


def test_an_alert():
    assert both(b"\x15\xf1\x04\x00\x02\x01\x02") == [Reply("alert")] * 2


@pytest.mark.parametrize(
    "record",
    [
        b"\x16\x03\x03\x00\x02\x01\x02",
        b"\x16\xf1\x09\x00\x02\x01\x02",
        b"\x17\xf1\x04\x00\x02\x01\x02",
        b"\x16\xf1\x04\x00\x00\x00",
        b"\x16\xf1\x04\xff\xff\x00",
        b"\x16\xf1\x04\x00\x05\x00\x00\x00\x01\x02",
        b"<html><title>no</title>",
        b"garbage",
    ],
)
def test_other_answers(record: bytes):
    assert both(record) == [NoReply.FOREIGN] * 2


def test_http_around_it():
    short = mmtls.short_link_request("short.test", NOW_MS)
    said = answer(mmtls.request(NOW_MS))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert short.parse(chunked + b"%x\r\n" % len(said) + said) == Reply("server_hello")
    assert short.parse(chunked + b"5") is NoReply.INCOMPLETE
    assert short.parse(chunked + b"x" * 20) is NoReply.FOREIGN
    assert short.parse(b"HT") is NoReply.INCOMPLETE
    assert short.parse(b"HTTP/1.1 200 OK\r\nServer: x") is NoReply.INCOMPLETE
    assert short.parse(b"HTTP/1.1 200 OK\r\n" + b"x" * 9000) is NoReply.FOREIGN
    assert short.parse(b"HTTP/1.1 403 Forbidden\r\n\r\n" + said) is NoReply.FOREIGN
    assert short.parse(b"220 mail.test") is NoReply.FOREIGN


@given(st.binary(max_size=300))
def test_any_bytes_can_be_parsed(noise: bytes):
    for record in (noise, b"\x16\xf1\x04" + noise, b"\x16\xf1\x04\x00\x30" + noise):
        assert all(isinstance(each, Reply | NoReply) for each in both(record))
