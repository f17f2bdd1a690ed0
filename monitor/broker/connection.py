# SPDX-License-Identifier: Apache-2.0
"""The broker's side of one client's connection: bytes in, events and bytes out. Pure.

    for event in connection.receive(data): ...      CONNECT, PUBLISH, SUBSCRIBE and so on
    connection.accept(...), connection.deliver(...) queue packets
    socket.write(connection.take_output())

MQTT 3.1.1 and 5, QoS 0 and 1. A session ends with its connection. PINGREQ and PUBACK are handled
here; one that nobody waited for is an event as well, because every packet costs its sender.
"""

from __future__ import annotations

from collections import deque

from monitor.broker import packets
from monitor.broker.packets import (
    V5,
    V311,
    AppMessage,
    Connect,
    Packet,
    PacketType,
    Publish,
    Splitter,
    Subscribe,
    Unsubscribe,
)
from monitor.broker.properties import NONE, PacketError, Properties, Property, Reason
from probes.wire.bounds import MAX_PACKET_BYTES

CONNECT_LIMIT = 16 << 10
PACKET_LIMIT = MAX_PACKET_BYTES + 1024
"""Payload, topic, packet id and properties."""
MAX_KEEPALIVE_SECONDS = 600
"""Also for a client that asks for none."""
MAX_EVENTS = 64
"""Of one call: 256 KiB, which the kernel gives at once, hold thousands of packets."""
MAX_IN_FLIGHT = 65_535
"""Messages of QoS 1 that are not acknowledged yet: there are no more packet ids."""


class Disconnect:
    """The client says that it leaves."""

    def __init__(self, *, publish_will: bool) -> None:
        self.publish_will = publish_will


class Housekeeping:
    """A packet that is answered already: the client kept its connection alive, or acknowledged
    what it was not sent."""


Event = Connect | Publish | Subscribe | Unsubscribe | Disconnect | Housekeeping


class ServerConnection:
    """What one client sent, and what is to be sent to it."""

    def __init__(self) -> None:
        self.level = V311
        self._splitter = Splitter(CONNECT_LIMIT)
        self._connecting, self._open, self._closed = False, False, False
        self._output: list[bytes] = []
        self._next_id = 0
        self._in_flight: set[int] = set()
        self._receive_maximum, self._packet_maximum = MAX_IN_FLIGHT, 1 << 28
        self._waiting: deque[AppMessage] = deque()
        self.waiting_bytes = 0
        """Payloads that wait until the client has acknowledged earlier ones."""

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the client and return what they mean, at most MAX_EVENTS; call it again
        with b"" until nothing is returned.

        After a Connect nothing is read until `accept`; call it again then, with b"". Raises
        PacketError: then write `take_output()` and close the connection. After `close` nothing is
        read.
        """
        if self._closed:
            return []
        self._splitter.add(data)
        events: list[Event] = []
        try:
            while (
                len(events) < MAX_EVENTS
                and not (self._connecting or self._closed)
                and (packet := self._splitter.next())
            ):
                if (event := self._read(packet)) is not None:
                    events.append(event)
        except PacketError as error:
            if events and not self._closed:
                # What came before it is served first; the error comes back with the next call.
                self._splitter.fail(error)
                return events
            self._refuse_packet(error)
            raise
        return events

    def _refuse_packet(self, error: PacketError) -> None:
        if self._open:
            self.close(error.reason)
        elif self.level == V5:
            self.refuse(error.reason)
        self._closed = True

    def _read(self, packet: Packet) -> Event | None:
        if not self._open:
            self._connecting = True
            return self._read_connect(packet)
        match packet.kind:
            case PacketType.PUBLISH:
                return packets.parse_publish(packet, self.level)
            case PacketType.PUBACK:
                return self._acknowledged(packets.parse_puback(packet))
            case PacketType.PINGREQ:
                if packet.body:
                    raise PacketError("bytes in PINGREQ")
                self._output.append(packets.pingresp())
                return Housekeeping()
            case PacketType.SUBSCRIBE:
                return packets.parse_subscribe(packet, self.level)
            case PacketType.UNSUBSCRIBE:
                return packets.parse_unsubscribe(packet, self.level)
            case PacketType.DISCONNECT:
                publish_will = packets.parse_disconnect(packet, self.level)
                self._closed = True
                return Disconnect(publish_will=publish_will)
        raise PacketError("a second CONNECT", Reason.PROTOCOL_ERROR)

    def _read_connect(self, packet: Packet) -> Connect:
        if packet.kind == PacketType.CONNECT and packet.body[:7] == b"\x00\x04MQTT\x05":
            self.level = V5  # an error in the rest of it is answered in its own words
        connect = packets.parse_connect(packet)
        if Property.AUTHENTICATION_METHOD in connect.properties:
            raise PacketError(
                "enhanced authentication is not served", Reason.BAD_AUTHENTICATION_METHOD
            )
        self._receive_maximum = connect.properties.get(Property.RECEIVE_MAXIMUM, MAX_IN_FLIGHT)
        self._packet_maximum = connect.properties.get(Property.MAXIMUM_PACKET_SIZE, 1 << 28)
        return connect

    def accept(self, connect: Connect, *, may_retain: bool, may_share: bool) -> int:
        """Let the client in. Returns the keepalive in seconds that it has to keep."""
        self._connecting, self._open = False, True
        self._splitter.limit = PACKET_LIMIT
        keepalive = connect.keepalive
        given: dict[Property, int | str] = {
            Property.MAXIMUM_QOS: 1,
            Property.MAXIMUM_PACKET_SIZE: PACKET_LIMIT,
            Property.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 0,
        }
        if not may_retain:
            given[Property.RETAIN_AVAILABLE] = 0
        if not may_share:
            given[Property.SHARED_SUBSCRIPTIONS_AVAILABLE] = 0
        if connect.properties.get(Property.SESSION_EXPIRY):
            given[Property.SESSION_EXPIRY] = 0
        if not 0 < keepalive <= MAX_KEEPALIVE_SECONDS:
            given[Property.SERVER_KEEP_ALIVE] = keepalive = MAX_KEEPALIVE_SECONDS
        if not connect.client_id:
            given[Property.ASSIGNED_CLIENT_IDENTIFIER] = connect.user or "client"
        self._answer_connect(Reason.SUCCESS, given)
        return keepalive

    def refuse(self, reason: Reason) -> None:
        """Keep the client out."""
        self._answer_connect(reason, NONE)
        self._closed = True

    def _answer_connect(self, reason: Reason, given: Properties) -> None:
        self._output.append(packets.connack(self.level, reason, given))

    def close(self, reason: Reason) -> None:
        """End the connection; a client of MQTT 5 is told why."""
        if self._open and not self._closed:
            self._output.append(packets.disconnect(self.level, reason))
        self._closed = True

    def acknowledge(self, packet_id: int, reason: Reason = Reason.SUCCESS) -> None:
        """Answer a PUBLISH of QoS 1."""
        self._output.append(packets.puback(self.level, packet_id, reason))

    def subscribed(self, packet_id: int, reasons: list[Reason]) -> None:
        """Answer a SUBSCRIBE."""
        self._output.append(packets.suback(self.level, packet_id, reasons))

    def unsubscribed(self, packet_id: int, reasons: list[Reason]) -> None:
        """Answer an UNSUBSCRIBE."""
        self._output.append(packets.unsuback(self.level, packet_id, reasons))

    def deliver(self, message: AppMessage) -> None:
        """Send a message with the QoS and the retain flag that it has. QoS 1 waits while the
        client has too many that it did not acknowledge."""
        if self._closed:
            return
        if message.qos and len(self._in_flight) >= self._receive_maximum:
            self._waiting.append(message)
            self.waiting_bytes += len(message.payload)
        else:
            self._send(message)

    def _send(self, message: AppMessage) -> None:
        packet_id = self._new_id() if message.qos else 0
        packet = packets.publish(message, self.level, packet_id)
        # The standard has a message that is too large for a client dropped.
        if len(packet) <= self._packet_maximum:
            self._output.append(packet)
            if packet_id:
                self._in_flight.add(packet_id)

    def _new_id(self) -> int:
        while True:
            self._next_id = self._next_id % MAX_IN_FLIGHT + 1
            if self._next_id not in self._in_flight:
                return self._next_id

    def _acknowledged(self, packet_id: int) -> Housekeeping | None:
        if packet_id not in self._in_flight:
            return Housekeeping()
        self._in_flight.remove(packet_id)
        while self._waiting and len(self._in_flight) < self._receive_maximum:
            message = self._waiting.popleft()
            self.waiting_bytes -= len(message.payload)
            self._send(message)
        return None

    def take_output(self) -> bytes:
        """What is to be written, once."""
        output, self._output = b"".join(self._output), []
        return output
