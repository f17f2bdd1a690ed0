"""Packets by the letter of the standards; the bytes in here were written by hand or by paho."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker import packets
from monitor.broker.packets import V5, V311, AppMessage, Packet, PacketType, Splitter, Subscription
from monitor.broker.properties import PacketError, Property, Reason, field

CONNECT = bytes.fromhex(
    "00044d515454 04 ce 003c 0003 612d31 0003 742f31 0002 6869 0003 752d31 0002"
)


def read(data: bytes, limit: int = 1 << 20) -> list[Packet]:
    splitter = Splitter(limit)
    splitter.add(data)
    return list(iter(splitter.next, None))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.data())
def test_packets_survive_any_cutting(bodies: list[bytes], data: st.DataObject) -> None:
    sent = [Packet(PacketType.PUBLISH, 2, body) for body in bodies]
    stream = b"".join(packet.encode() for packet in sent)
    splitter, got = Splitter(1 << 20), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        splitter.add(stream[:size])
        stream = stream[size:]
        got += list(iter(splitter.next, None))
    assert got == sent


@pytest.mark.parametrize("size", [0, 127, 128, 16383, 16384, 2097151, 2097152])
def test_length_borders(size: int) -> None:
    packet = Packet(PacketType.PUBLISH, 0, b"x" * size)
    assert read(packet.encode(), 1 << 22) == [packet]


def test_too_large_is_known_before_it_has_arrived() -> None:
    with pytest.raises(PacketError, match="101 bytes, at most 100") as caught:
        read(Packet(PacketType.PUBLISH, 0, b"x" * 101).encode()[:3], 100)
    assert caught.value.reason is Reason.PACKET_TOO_LARGE
    with pytest.raises(PacketError, match="length"):
        read(b"\x30\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "first", [0x00, 0x20, 0x50, 0x60, 0x62, 0x70, 0x90, 0xB0, 0xD0, 0xF0, 0x80, 0xC1, 0x41, 0x47]
)
def test_what_no_client_sends(first: int) -> None:
    """Types of a broker, of QoS 2 and of enhanced authentication, and wrong flags."""
    with pytest.raises(PacketError, match="no client"):
        read(bytes((first, 0)))


@given(st.integers(0, 255), st.binary(max_size=120), st.sampled_from([V311, V5]))
def test_any_body_is_a_value_or_an_error(first: int, body: bytes, level: int) -> None:
    packet = Packet(first >> 4, first & 15, body)
    for parse in (
        packets.parse_connect,
        lambda p: packets.parse_publish(p, level),
        packets.parse_puback,
        lambda p: packets.parse_subscribe(p, level),
        lambda p: packets.parse_unsubscribe(p, level),
        lambda p: packets.parse_disconnect(p, level),
    ):
        try:
            parse(packet)
        except PacketError:
            pass


def connect(body: bytes) -> packets.Connect:
    return packets.parse_connect(Packet(PacketType.CONNECT, 0, body))


def test_connect_of_3_1_1() -> None:
    found = connect(CONNECT + b"pw")
    assert (found.level, found.client_id, found.keepalive, found.clean) == (4, "a-1", 60, True)
    assert found.will == AppMessage("t/1", b"hi", 1, False)
    assert (found.user, found.secret) == ("u-1", "pw")


def test_connect_of_5() -> None:
    props = bytes.fromhex("05 21 000a 17 01")
    body = b"\x00\x04MQTT\x05\x06\x00\x3c" + props + field("id")
    body += bytes.fromhex("05 18 00000005") + field("t") + field("bye")
    found = connect(body)
    assert found.properties == {
        Property.RECEIVE_MAXIMUM: 10,
        Property.REQUEST_PROBLEM_INFORMATION: 1,
    }
    assert found.will == AppMessage("t", b"bye"), "its delay is not its subscribers' business"
    for wrong in ("03 21 0000", "06 21 0001 21 0001", "02 17 02", "03 23 0001", "01 7f"):
        with pytest.raises(PacketError):
            connect(b"\x00\x04MQTT\x05\x02\x00\x00" + bytes.fromhex(wrong) + field("id"))


def test_connect_that_is_none() -> None:
    good = CONNECT + b"pw"
    for body in (
        good[:-1],
        good + b"x",
        good.replace(b"u-1", b"u\x001"),
        good.replace(b"u-1", b"\xff-1"),
        good[:7] + b"\x4e" + good[8:],  # a secret without a user
        good[:7] + b"\xcf" + good[8:],  # the reserved flag
        good[:7] + b"\xde" + good[8:],  # a will of QoS 3
        b"\x00\x04HTTP\x04" + good[7:],
    ):
        with pytest.raises(PacketError):
            connect(body)
    with pytest.raises(PacketError, match="not CONNECT"):
        packets.parse_connect(Packet(PacketType.PUBLISH, 0, good))


def test_another_protocol_level_is_recognised() -> None:
    assert connect(b"\x00\x04MQTT\x06whatever").level == 6
    assert connect(b"\x00\x06MQIsdp\x03" + CONNECT[7:]).level == 3


def publish(topic: bytes, rest: bytes, flags: int, level: int = V311) -> packets.Publish:
    body = struct.pack("!H", len(topic)) + topic + rest
    return packets.parse_publish(Packet(PacketType.PUBLISH, flags, body), level)


def test_publish() -> None:
    found = publish(b"a/b", b"\x00\x07body", 0x03)
    assert found == packets.Publish(AppMessage("a/b", b"body", 1, True), 7)
    found = publish(b"a/b", b"\x00\x07\x02\x01\x01body", 0x02, V5)
    assert found.message.properties == {Property.PAYLOAD_FORMAT: 1}
    for topic, rest, flags, reason in (
        (b"", b"", 0, Reason.INVALID_TOPIC_NAME),
        (b"a/#", b"", 0, Reason.INVALID_TOPIC_NAME),
        (b"+/a", b"", 0, Reason.INVALID_TOPIC_NAME),
        (b"a", b"\x00\x01", 0x04, Reason.QOS_NOT_SUPPORTED),
        (b"a", b"\x00\x01", 0x06, Reason.QOS_NOT_SUPPORTED),
        (b"a", b"\x00\x00", 0x02, Reason.PROTOCOL_ERROR),
        (b"a", b"", 0x08, Reason.MALFORMED_PACKET),
    ):
        with pytest.raises(PacketError) as caught:
            publish(topic, rest, flags)
        assert caught.value.reason is reason
    with pytest.raises(PacketError) as caught:
        publish(b"a", b"\x03\x23\x00\x01", 0, V5)
    assert caught.value.reason is Reason.INVALID_TOPIC_ALIAS


def subscribe(rest: bytes, level: int) -> packets.Subscribe:
    return packets.parse_subscribe(Packet(PacketType.SUBSCRIBE, 2, b"\x00\x09" + rest), level)


def test_subscribe_and_unsubscribe() -> None:
    found = subscribe(field("a/+") + b"\x01" + field("b") + b"\x02", V311)
    assert found.subscriptions == (Subscription("a/+", 1), Subscription("b", 2))
    found = subscribe(b"\x00" + field("c") + b"\x2d", V5)
    assert found.subscriptions == (
        Subscription("c", 1, no_local=True, retain_as_published=True, retain_handling=2),
    )
    for rest, level in (
        (b"", V311),
        (field("a") + b"\x03", V311),
        (field("a") + b"\x04", V311),
        (b"\x00" + field("a") + b"\x30", V5),
        (b"\x00" + field("a") + b"\x40", V5),
        (b"\x02\x0b\x01" + field("a") + b"\x00", V5),
        ((field("a") + b"\x00") * (packets.MAX_FILTERS + 1), V311),
    ):
        with pytest.raises(PacketError):
            subscribe(rest, level)
    packet = Packet(PacketType.UNSUBSCRIBE, 2, b"\x00\x09\x00" + field("a"))
    assert packets.parse_unsubscribe(packet, V5) == packets.Unsubscribe(9, ("a",))


def test_disconnect_with_and_without_the_will() -> None:
    assert not packets.parse_disconnect(Packet(PacketType.DISCONNECT, 0, b""), V311)
    assert not packets.parse_disconnect(Packet(PacketType.DISCONNECT, 0, b"\x00"), V5)
    assert packets.parse_disconnect(Packet(PacketType.DISCONNECT, 0, b"\x04\x00"), V5)
    with pytest.raises(PacketError):
        packets.parse_disconnect(Packet(PacketType.DISCONNECT, 0, b"\x04"), V311)


def test_filters() -> None:
    for good in ("a", "/", "a/+/b", "+", "#", "a/#", "+/+/#", "$SYS/#"):
        assert packets.is_filter(good), good
    for bad in ("", "a#", "#/a", "a/b+", "a/#/b", "/" * packets.MAX_FILTER_LEVELS):
        assert not packets.is_filter(bad), bad


def test_answers_of_both_versions() -> None:
    assert packets.connack(V311, Reason.BAD_CREDENTIALS).hex() == "20020004"
    assert packets.connack(V311, Reason.QOS_NOT_SUPPORTED).hex() == "20020005"
    assert packets.connack(V5, Reason.BAD_CREDENTIALS).hex() == "2003008600"
    assert packets.connack(V5, Reason.SUCCESS, {Property.MAXIMUM_QOS: 1}).hex() == "20050000022401"
    assert packets.puback(V311, 5, Reason.NOT_AUTHORIZED).hex() == "40020005"
    assert packets.puback(V5, 5, Reason.NOT_AUTHORIZED).hex() == "4003000587"
    wanted = [Reason.GRANTED_QOS_1, Reason.NOT_AUTHORIZED]
    assert packets.suback(V311, 5, wanted).hex() == "900400050180"
    assert packets.suback(V5, 5, wanted).hex() == "90050005000187"
    assert packets.unsuback(V311, 5, [Reason.SUCCESS]).hex() == "b0020005"
    assert packets.unsuback(V5, 5, [Reason.SUCCESS]).hex() == "b0040005" + "0000"
    assert packets.disconnect(V311, Reason.SERVER_SHUTTING_DOWN) == b""
    assert packets.disconnect(V5, Reason.SERVER_SHUTTING_DOWN).hex() == "e0018b"
    message = AppMessage("t", b"x", 1, True, {Property.USER_PROPERTY: [("k", "v")]})
    assert packets.publish(message, V311, 7).hex() == "3306000174000778"
    assert (
        packets.publish(message, V5, 7).hex() == "330e0001740007" + "07260001" + "6b000176" + "78"
    )
