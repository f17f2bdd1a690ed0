from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker import packets
from monitor.broker.packets import Packet, PacketError


async def read(data: bytes, limit: int = 1 << 20) -> Packet:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await packets.read_packet(reader, limit)


@given(st.integers(1, 14), st.integers(0, 15), st.binary(max_size=300))
async def test_a_packet_survives_the_wire(kind: int, flags: int, body: bytes) -> None:
    packet = Packet(kind, flags, body)
    assert await read(packet.encode()) == packet


@pytest.mark.parametrize("size", [0, 127, 128, 16383, 16384, 2097151, 2097152])
async def test_length_borders(size: int) -> None:
    packet = Packet(3, 0, b"x" * size)
    assert await read(packet.encode(), 1 << 22) == packet


async def test_over_the_limit_and_malformed_lengths() -> None:
    with pytest.raises(PacketError, match="101 bytes, at most 100"):
        await read(Packet(3, 0, b"x" * 101).encode(), 100)
    with pytest.raises(PacketError, match="length"):
        await read(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(asyncio.IncompleteReadError):
        await read(b"\x30\x05abc")


@given(st.binary(max_size=200), st.integers(0, 15))
def test_any_body_gives_a_value_or_a_packet_error(body: bytes, flags: int) -> None:
    for kind, parse in (
        (packets.CONNECT, packets.parse_connect),
        (packets.PUBLISH, packets.parse_publish),
        (packets.SUBSCRIBE, packets.parse_subscribe),
    ):
        try:
            parse(Packet(kind, 0 if kind == packets.CONNECT else flags, body))
        except PacketError:
            pass


CONNECT = bytes.fromhex(
    "00044d515454 04 ce 003c 0003 612d31 0003 742f31 0002 6869 0003 752d31 0002"
)


def test_connect_fields_and_the_admitted_form() -> None:
    connect = packets.parse_connect(Packet(packets.CONNECT, 0, CONNECT + b"pw"))
    assert connect.client_id == b"a-1"
    assert (connect.will_topic, connect.will_payload) == ("t/1", b"hi")
    assert (connect.user, connect.secret, connect.keepalive) == ("u-1", "pw", 60)
    assert (connect.will_qos, connect.will_retain) == (1, False)
    admitted = connect.admitted("u-1")
    again = packets.parse_connect(Packet(packets.CONNECT, 0, admitted[2:]))
    assert again.client_id == b"u-1"
    assert (again.keepalive, again.secret, again.user) == (0, None, "u-1")
    assert again.flags & 0x02, "clean session"
    assert again.will_topic == "t/1"
    assert b"pw" not in admitted


def test_connect_that_is_none() -> None:
    good = CONNECT + b"pw"
    for packet in (
        Packet(packets.PUBLISH, 0, good),
        Packet(packets.CONNECT, 1, good),
        Packet(packets.CONNECT, 0, good[:-1]),
        Packet(packets.CONNECT, 0, good + b"x"),
        Packet(packets.CONNECT, 0, b"\x00\x06MQIsdp\x03" + good[7:]),
        Packet(packets.CONNECT, 0, good.replace(b"u-1", b"u\x001")),
        Packet(packets.CONNECT, 0, good.replace(b"u-1", b"\xff-1")),
    ):
        with pytest.raises(PacketError):
            packets.parse_connect(packet)


def test_a_later_protocol_level_is_recognised() -> None:
    assert packets.parse_connect(Packet(1, 0, b"\x00\x04MQTT\x05whatever")).level == 5


def test_publish_and_subscribe_heads() -> None:
    publish = packets.parse_publish(Packet(packets.PUBLISH, 0x03, b"\x00\x03a/b\x00\x07body"))
    assert publish == ("a/b", 1, True, 7)
    for topic in (b"", b"a/#", b"+/a"):
        body = len(topic).to_bytes(2, "big") + topic
        with pytest.raises(PacketError):
            packets.parse_publish(Packet(packets.PUBLISH, 0, body))
    raw = packets.subscribe(9, [("a/+", 1), ("b", 0)])
    assert packets.parse_subscribe(Packet(8, 2, raw[2:])) == (9, [("a/+", 1), ("b", 0)])
    with pytest.raises(PacketError):
        packets.parse_subscribe(Packet(8, 2, b"\x00\x01"))
