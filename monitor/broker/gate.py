# SPDX-License-Identifier: Apache-2.0
"""Admission to the embedded broker: every packet is checked here before amqtt sees it.

amqtt 0.12 deletes or takes over a session before it has authenticated the new client, has no
limit on packets, does not enforce keepalives and lets anyone retain. So a connection is admitted
here (credentials, client id, will), its packets are limited and checked by
`monitor.broker.access`, and only what is allowed is passed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from monitor.broker import access, packets
from monitor.broker.packets import Connect, Packet, PacketError
from monitor.store.records import StoreUnavailableError
from probes.wire.bounds import MAX_PACKET_BYTES

LOG = logging.getLogger("reachwatch.broker")
PACKET_LIMIT = MAX_PACKET_BYTES + 1024
"""Payload, topic and packet id."""
CONNECT_LIMIT = 16 << 10
CONNECT_SECONDS = 10.0
SILENT_SECONDS = 600.0
"""A client without a keepalive is disconnected after this long without a packet."""
REFUSED_FILTER = "#/refused"
"""Not a valid filter: amqtt answers 0x80 to it alone in a SUBSCRIBE."""

Authenticate = Callable[[str, str], Awaitable[bool]]


async def admit(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    authenticate: Authenticate,
    monitor_user: str,
) -> Connect | None:
    """Read a CONNECT and check it. None when it was refused; the refusal is then already written.

    Raises PacketError, TimeoutError, asyncio.IncompleteReadError or OSError for anything that is
    not an MQTT client.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        connect = packets.parse_connect(await packets.read_packet(reader, CONNECT_LIMIT))
    if code := await _refusal(connect, authenticate, monitor_user):
        writer.write(packets.connack(code))
        return None
    return connect


async def _refusal(connect: Connect, authenticate: Authenticate, monitor_user: str) -> int:
    if connect.level > 4:
        return packets.REFUSED_VERSION
    user, secret = connect.user, connect.secret
    if not user or not secret:
        return packets.REFUSED_ACCESS
    try:
        if not await authenticate(user, secret):
            LOG.info("refused %r: credentials are wrong or revoked", user[:64])
            return packets.REFUSED_CREDENTIALS
    except StoreUnavailableError as error:
        LOG.warning("credentials cannot be checked: %s", error)
        return packets.REFUSED_UNAVAILABLE
    if user != monitor_user and connect.will_topic is not None:
        foreign = not access.may_publish(user, connect.will_topic)
        if foreign or connect.will_retain or connect.will_qos > 1:
            LOG.warning("refused %s: its will message is not allowed", user)
            return packets.REFUSED_ACCESS
    return 0


def check_probe_packet(user: str, packet: Packet) -> tuple[bytes, bytes]:
    """What of a probe's packet is passed on to the broker, and what is answered instead.

    A publish to a foreign topic is acknowledged and dropped, as mosquitto does on 3.1.1: the
    missing acknowledgement of the collector reveals it. Raises PacketError for what ends the
    connection.
    """
    match packet.kind:
        case packets.PUBLISH:
            publish = packets.parse_publish(packet)
            if publish.qos > 1:
                raise PacketError("QoS 2 is not used here")
            if publish.retain:
                raise PacketError("a probe may not send retained messages")
            if access.may_publish(user, publish.topic):
                return packet.encode(), b""
            LOG.warning("%s: dropped a message to a topic that it may not publish to", user)
            return b"", packets.puback(publish.packet_id) if publish.qos else b""
        case packets.SUBSCRIBE:
            packet_id, filters = packets.parse_subscribe(packet)
            allowed = [
                (name if access.may_subscribe(user, name) else REFUSED_FILTER, min(qos, 1))
                for name, qos in filters
            ]
            return packets.subscribe(packet_id, allowed), b""
        case kind if kind in packets.FROM_CLIENT:
            return packet.encode(), b""
    raise PacketError("unexpected packet")


def check_monitor_packet(packet: Packet) -> bytes:
    """The packets of the monitor: anything but QoS 2 and `$` topics, which amqtt mishandles."""
    if packet.kind not in packets.FROM_CLIENT:
        raise PacketError("unexpected packet")
    if packet.kind == packets.PUBLISH:
        publish = packets.parse_publish(packet)
        if publish.qos > 1 or publish.topic.startswith("$"):
            raise PacketError("QoS 2 and $ topics are not used here")
    return packet.encode()


async def next_packet(reader: asyncio.StreamReader, keepalive: int) -> Packet:
    """The next packet of the client. Raises TimeoutError after one and a half keepalives of
    silence."""
    async with asyncio.timeout(keepalive * 1.5 or SILENT_SECONDS):
        return await packets.read_packet(reader, PACKET_LIMIT)
