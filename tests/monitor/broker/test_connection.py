"""The protocol as a dialogue: what a client sends, what the broker hears and answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.broker import packets
from monitor.broker.connection import (
    CONNECT_LIMIT,
    MAX_EVENTS,
    MAX_KEEPALIVE_SECONDS,
    PACKET_LIMIT,
    Disconnect,
    Housekeeping,
    ServerConnection,
)
from monitor.broker.packets import V5, V311, AppMessage, Connect, Publish, Subscribe
from monitor.broker.properties import BodyReader, PacketError, Property, Reason, field

PING, PONG = b"\xc0\x00", b"\xd0\x00"


def connect(level: int = V311, *, keepalive: int = 60, given: str = "00", id: str = "c") -> bytes:
    body = b"\x00\x04MQTT" + bytes((level, 0xC2)) + keepalive.to_bytes(2, "big")
    body += bytes.fromhex(given) if level == V5 else b""
    return packets.Packet(1, 0, body + field(id) + field("u") + field("s")).encode()


def admitted(level: int = V311, given: str = "00") -> ServerConnection:
    connection = ServerConnection()
    (event,) = connection.receive(connect(level, given=given))
    assert isinstance(event, Connect)
    connection.accept(event, may_retain=True, may_share=True)
    connection.take_output()
    return connection


def publish(topic: str, payload: bytes, *, packet_id: int = 0, level: int = V311) -> bytes:
    return packets.publish(AppMessage(topic, payload, 1 if packet_id else 0), level, packet_id)


def test_nothing_is_read_behind_a_connect_until_it_is_accepted() -> None:
    connection = ServerConnection()
    (first,) = connection.receive(connect() + publish("a", b"x" * 2 * CONNECT_LIMIT) + PING)
    assert isinstance(first, Connect)
    assert connection.receive(b"") == []
    assert connection.take_output() == b""
    assert connection.accept(first, may_retain=False, may_share=False) == 60
    assert connection.take_output().hex() == "20020000"
    second, third = connection.receive(b"")
    assert isinstance(third, Housekeeping)
    assert isinstance(second, Publish)
    assert connection.take_output() == PONG


def test_the_broker_says_what_it_does_not_serve() -> None:
    connection = ServerConnection()
    (event,) = connection.receive(connect(V5, keepalive=0, given="05 11 ffffffff", id=""))
    assert isinstance(event, Connect)
    keepalive = connection.accept(event, may_retain=False, may_share=False)
    assert keepalive == MAX_KEEPALIVE_SECONDS
    reader = BodyReader(connection.take_output()[4:])
    assert reader.properties(frozenset(Property)) == {
        Property.MAXIMUM_QOS: 1,
        Property.MAXIMUM_PACKET_SIZE: PACKET_LIMIT,
        Property.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 0,
        Property.RETAIN_AVAILABLE: 0,
        Property.SHARED_SUBSCRIPTIONS_AVAILABLE: 0,
        Property.SESSION_EXPIRY: 0,
        Property.SERVER_KEEP_ALIVE: MAX_KEEPALIVE_SECONDS,
        Property.ASSIGNED_CLIENT_IDENTIFIER: "u",
    }


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("34 06 0001 61 0001 78", Reason.QOS_NOT_SUPPORTED),  # PUBLISH with QoS 2
        ("30 07 0001 61 03 23 0001", Reason.INVALID_TOPIC_ALIAS),
        ("f0 00", Reason.MALFORMED_PACKET),  # AUTH
        ("62 02 0001", Reason.MALFORMED_PACKET),  # PUBREL
        ("30 ff ff ff 7f", Reason.PACKET_TOO_LARGE),
        ("c0 01 00", Reason.MALFORMED_PACKET),
        ("82 09 0001 02 0b01 0001 61 00", Reason.NO_SUBSCRIPTION_IDENTIFIERS),
    ],
)
def test_what_ends_a_connection_and_how_it_is_told(sent: str, reason: Reason) -> None:
    for level, told in ((V5, packets.disconnect(V5, reason)), (V311, b"")):
        connection = admitted(level)
        try:
            events = connection.receive(bytes.fromhex(sent))
        except PacketError:
            assert connection.take_output() == told
            assert connection.receive(PING) == []
        else:
            # The bytes have another meaning in 3.1.1, where properties do not exist.
            assert level == V311
            assert events


def test_a_second_connect_is_an_error() -> None:
    connection = admitted(V5)
    with pytest.raises(PacketError, match="second CONNECT"):
        connection.receive(connect(V5))
    assert connection.take_output() == packets.disconnect(V5, Reason.PROTOCOL_ERROR)


def test_a_malformed_connect_of_5_is_answered_in_its_words() -> None:
    connection = ServerConnection()
    with pytest.raises(PacketError):
        connection.receive(connect(V5, given="03 15 0000"))
    assert connection.take_output().hex() == "20030" + "08c00"  # enhanced authentication
    silent = ServerConnection()
    with pytest.raises(PacketError):
        silent.receive(b"GET / HTTP/1.1\r\n")
    assert silent.take_output() == b""


def test_what_came_before_an_error_is_served() -> None:
    connection = admitted(V5)
    (event,) = connection.receive(publish("a", b"x", packet_id=3, level=V5) + b"\xf0\x00")
    assert isinstance(event, Publish)
    connection.acknowledge(event.packet_id)
    with pytest.raises(PacketError):
        connection.receive(b"")
    assert connection.take_output() == packets.puback(V5, 3) + b"\xe0\x01\x81"


def test_goodbye_with_and_without_the_will() -> None:
    for level, sent, publish_will in (
        (V311, "e000", False),
        (V5, "e000", False),
        (V5, "e00104", 1),
    ):
        (event,) = admitted(level).receive(bytes.fromhex(sent) + PING)
        assert isinstance(event, Disconnect)
        assert event.publish_will == publish_will


def test_a_chunk_full_of_packets_is_taken_in_parts() -> None:
    """So that whoever calls can stop in between."""
    connection = admitted()
    stream = publish("a", b"x") * (2 * MAX_EVENTS + 1)
    sizes = [len(connection.receive(data)) for data in (stream, b"", b"")]
    assert sizes == [MAX_EVENTS, MAX_EVENTS, 1]
    assert connection.receive(b"") == []


@pytest.mark.parametrize("level", [V311, V5])
@pytest.mark.parametrize("kept_alive", [PING, b"\x40\x02\x00\x01"], ids=["ping", "puback"])
def test_no_packet_is_free(kept_alive: bytes, level: int) -> None:
    """What means nothing to others is counted, and ends no call later than the rest."""
    connection = admitted(level)
    events = connection.receive(kept_alive * (MAX_EVENTS + 1))
    assert len(events) == MAX_EVENTS
    assert all(isinstance(event, Housekeeping) for event in events)
    assert len(connection.receive(b"")) == 1


def test_an_acknowledgement_that_was_waited_for_costs_nothing() -> None:
    """A probe acknowledges whatever the monitor sends it, such as a thousand retained events."""
    connection = admitted()
    for _ in range(MAX_EVENTS + 5):
        connection.deliver(AppMessage("a", b"x", 1))
    acknowledged = b"".join(
        b"\x40\x02" + number.to_bytes(2, "big") for number in range(1, MAX_EVENTS + 6)
    )
    assert connection.receive(acknowledged) == []
    assert len(connection.receive(acknowledged)) == MAX_EVENTS, "the second time it was not"


def test_receive_maximum_is_kept() -> None:
    connection = admitted(V5, given="03 21 0002")
    for number in range(5):
        connection.deliver(AppMessage("t", bytes((number,)), 1))
    connection.deliver(AppMessage("t", b"zero", 0))
    out = connection.take_output()
    assert out == b"".join(
        (
            packets.publish(AppMessage("t", b"\0", 1), V5, 1),
            packets.publish(AppMessage("t", b"\1", 1), V5, 2),
            packets.publish(AppMessage("t", b"zero"), V5, 0),
        )
    )
    assert connection.waiting_bytes == 3
    connection.receive(packets.puback(V5, 2))
    assert connection.take_output() == packets.publish(AppMessage("t", b"\2", 1), V5, 3)
    connection.receive(packets.puback(V5, 1) + packets.puback(V5, 3))
    assert connection.waiting_bytes == 0


def test_packet_ids_are_not_used_twice_at_once() -> None:
    connection = admitted()
    for _ in range(65_537):
        connection.deliver(AppMessage("t", b"", 1))
    sent = packets.Splitter(100)
    assert connection.waiting_bytes == 0  # the payloads are empty
    assert len(connection.take_output()) == 65_535 * len(
        packets.publish(AppMessage("t", b""), V311, 1)
    )
    connection.receive(packets.puback(V311, 9))
    sent.add(connection.take_output())
    packet = sent.next()
    assert packet is not None
    assert packets.parse_publish(packet, V311).packet_id == 9


def test_what_is_too_large_for_a_client_is_dropped() -> None:
    connection = admitted(V5, given="05 27 00000020")
    connection.deliver(AppMessage("t", b"x" * 40, 1))
    connection.deliver(AppMessage("t", b"x", 1))
    assert len(connection.take_output()) < 32


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from([V311, V5]), st.booleans())
def test_any_bytes_give_events_or_an_error(
    chunks: list[bytes], level: int, after_connect: bool
) -> None:
    connection = admitted(level) if after_connect else ServerConnection()
    for chunk in chunks:
        try:
            for event in connection.receive(chunk):
                match event:
                    case Connect():
                        connection.refuse(Reason.NOT_AUTHORIZED)
                    case Subscribe():
                        connection.subscribed(event.packet_id, [Reason.SUCCESS])
        except PacketError:
            connection.take_output()
            assert connection.receive(chunk) == []
            return


_KINDS = st.sampled_from([0x10, 0x30, 0x31, 0x32, 0x33, 0x3A, 0x40, 0x82, 0xA2, 0xC0, 0xE0])


@settings(max_examples=300)
@given(st.lists(st.tuples(_KINDS, st.binary(max_size=40)), max_size=6), st.sampled_from([V311, V5]))
def test_any_well_framed_packets(framed: list[tuple[int, bytes]], level: int) -> None:
    connection = admitted(level)
    stream = b"".join(bytes((kind, len(body))) + body for kind, body in framed)
    told = b""
    try:
        while connection.receive(stream):
            stream = b""
    except PacketError as error:
        told = packets.disconnect(level, error.reason)
    assert connection.take_output().endswith(told)
