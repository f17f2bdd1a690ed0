"""The gate's judgement of single packets; what is delivered in the end is in test_access."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker import gate, packets
from monitor.broker.packets import Packet, PacketError
from monitor.store.records import StoreUnavailableError
from probes.wire import topics

P = "p-0000000000000001"
OWN, FOREIGN = topics.measurements(P), topics.ack(P)


def publish(topic: str, flags: int = 0x02) -> Packet:
    raw = topic.encode()
    return Packet(packets.PUBLISH, flags, len(raw).to_bytes(2, "big") + raw + b"\x00\x05data")


def test_own_topic_passes_unchanged() -> None:
    assert gate.check_probe_packet(P, publish(OWN)) == (publish(OWN).encode(), b"")


def test_foreign_topic_is_acknowledged_and_dropped() -> None:
    assert gate.check_probe_packet(P, publish(FOREIGN)) == (b"", packets.puback(5))
    assert gate.check_probe_packet(P, publish(FOREIGN, 0)) == (b"", b"")


def test_retain_and_qos_2_end_the_connection() -> None:
    for flags in (0x03, 0x01, 0x04, 0x06):
        with pytest.raises(PacketError):
            gate.check_probe_packet(P, publish(OWN, flags))


def test_forbidden_filters_are_replaced_one_by_one() -> None:
    wanted = [(topics.ack(P), 1), (topics.ALL_STATUS, 1), (topics.CATALOGUE, 2)]
    raw = packets.subscribe(3, wanted)
    onward, answer = gate.check_probe_packet(P, Packet(packets.SUBSCRIBE, 2, raw[2:]))
    assert answer == b""
    assert packets.parse_subscribe(Packet(8, 2, onward[2:])) == (
        3,
        [(topics.ack(P), 1), (gate.REFUSED_FILTER, 1), (topics.CATALOGUE, 1)],
    )


@pytest.mark.parametrize("kind", [0, 1, 2, 5, 6, 7, 9, 11, 13, 15])
def test_packets_that_no_client_sends(kind: int) -> None:
    with pytest.raises(PacketError):
        gate.check_probe_packet(P, Packet(kind, 0, b"\0\1"))
    with pytest.raises(PacketError):
        gate.check_monitor_packet(Packet(kind, 0, b"\0\1"))


def test_the_monitor_writes_anywhere_but_not_with_qos_2_or_dollar() -> None:
    assert gate.check_monitor_packet(publish(FOREIGN, 0x03)) == publish(FOREIGN, 0x03).encode()
    for packet in (publish(FOREIGN, 0x04), publish("$SYS/x")):
        with pytest.raises(PacketError):
            gate.check_monitor_packet(packet)


@given(st.integers(0, 15), st.integers(0, 15), st.binary(max_size=100))
def test_any_packet_is_judged(kind: int, flags: int, body: bytes) -> None:
    try:
        onward, answer = gate.check_probe_packet(P, Packet(kind, flags, body))
        assert isinstance(onward, bytes)
        assert isinstance(answer, bytes)
    except PacketError:
        pass


async def _unavailable(user: str, secret: str) -> bool:
    raise StoreUnavailableError("the disk is full")


async def test_no_store_no_entrance() -> None:
    """Neither "wrong secret" (the probe would enrol anew) nor a way in."""
    server = await asyncio.start_server(
        lambda reader, writer: _admit_and_close(reader, writer), "127.0.0.1", 0
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"\x00\x04MQTT\x04\xc2\x00\x00\x00\x01x\x00\x01u\x00\x01s"
        writer.write(Packet(packets.CONNECT, 0, body).encode())
        assert await reader.read() == packets.connack(packets.REFUSED_UNAVAILABLE)
        writer.close()
        await writer.wait_closed()


async def _admit_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await gate.admit(reader, writer, _unavailable, "monitor") is None
    writer.close()
    await writer.wait_closed()


async def test_a_silent_client_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SILENT_SECONDS", 0.05)
    reader = asyncio.StreamReader()
    with pytest.raises(TimeoutError):
        await gate.next_packet(reader, 0)
