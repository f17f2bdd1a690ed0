# SPDX-License-Identifier: Apache-2.0
"""What the embedded broker does with a client's packets: who is admitted, what a probe may publish
and read, who gets a message. Pure: no socket, no clock; credentials are checked by the caller.

Sessions end with their connections. A message that nobody subscribes to is gone: the probes'
spools are the record, and only a collector's acknowledgement counts.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from monitor.broker import access
from monitor.broker.connection import Disconnect, Event, Housekeeping, ServerConnection
from monitor.broker.packets import (
    AppMessage,
    Connect,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from monitor.broker.properties import PacketError, Reason
from monitor.broker.subscriptions import Retained, Subscriptions, split_shared
from monitor.seldom_log import SeldomLog

MAX_SUBSCRIPTIONS = 64
"""Of one client."""
MAX_RETAINED = 20_000
MayReceive = Callable[[str, str], bool]
"""Whether a probe gets a message on a topic to which it has subscribed."""


class Client:
    """An admitted client."""

    def __init__(self, connect: Connect, connection: ServerConnection, *, trusted: bool) -> None:
        assert connect.user is not None
        self.user, self.secret = connect.user, connect.secret or ""
        self.trusted = trusted
        """It is the monitor."""
        # A probe's client id is its user name, whatever it says: it cannot take over another.
        own = f"monitor/{connect.client_id or id(connection)}"
        self.name = own if trusted else connect.user
        self.connection, self.will = connection, connect.will


class Router:
    """The clients of a broker, their subscriptions, and the retained messages.

    `changed` is called for each client whose connection has output, and `close` for one whose
    connection is to end. Retained messages are for all who may subscribe to them.
    """

    def __init__(
        self,
        monitor_user: str,
        changed: Callable[[Client], None],
        close: Callable[[Client], None],
        clock: Callable[[], float],
        log: SeldomLog,
        may_receive: MayReceive = access.anybody_may_receive,
    ) -> None:
        self._monitor_user, self._changed, self._close = monitor_user, changed, close
        self._may_receive = may_receive
        self._log = log
        self._clients: dict[str, Client] = {}
        self._subscriptions: Subscriptions[Client] = Subscriptions()
        self._retained = Retained(MAX_RETAINED, clock)

    @property
    def clients(self) -> list[Client]:
        """Everybody who is admitted."""
        return list(self._clients.values())

    def has_reader(self, topic: str) -> bool:
        """Whether anybody has subscribed to a topic."""
        return self._subscriptions.has_reader(topic)

    def refusal(self, connect: Connect) -> Reason:
        """Why a client whose credentials are right is not admitted; SUCCESS when it is."""
        will = connect.will
        if will is None:
            return Reason.SUCCESS
        if will.qos > 1:
            return Reason.QOS_NOT_SUPPORTED
        if connect.user == self._monitor_user:
            return Reason.SUCCESS
        if will.retain:
            return Reason.RETAIN_NOT_SUPPORTED
        assert connect.user is not None
        if not access.may_publish(connect.user, will.topic):
            self._log.warning("refused %s: its will message is not allowed", connect.user)
            return Reason.NOT_AUTHORIZED
        return Reason.SUCCESS

    def join(self, connect: Connect, connection: ServerConnection) -> tuple[Client, int]:
        """Admit a client; one of the same name is disconnected, and its will published. Returns
        the client and its keepalive in seconds."""
        trusted = connect.user == self._monitor_user
        client = Client(connect, connection, trusted=trusted)
        if (previous := self._clients.get(client.name)) is not None:
            previous.connection.close(Reason.SESSION_TAKEN_OVER)
            self.leave(previous)
            self._close(previous)
        self._clients[client.name] = client
        keepalive = connection.accept(connect, may_retain=trusted, may_share=trusted)
        return client, keepalive

    def leave(self, client: Client) -> None:
        """The connection of a client has ended. Its will is published unless it said goodbye."""
        if self._clients.get(client.name) is not client:
            return
        del self._clients[client.name]
        self._subscriptions.drop(client)
        if client.will is not None:
            self._route(client.will, client)

    def handle(self, client: Client, event: Event) -> None:
        """Do what a packet of an admitted client asks for. Raises PacketError for what ends its
        connection."""
        match event:
            case Publish():
                self._publish(client, event)
            case Subscribe():
                self._subscribe(client, event)
            case Unsubscribe(packet_id, filters):
                reasons = [
                    Reason.SUCCESS
                    if self._subscriptions.remove(client, name)
                    else Reason.NO_SUBSCRIPTION_EXISTED
                    for name in filters
                ]
                client.connection.unsubscribed(packet_id, reasons)
            case Housekeeping():
                pass  # the connection has answered it
            case Disconnect():
                if not event.publish_will:
                    client.will = None
                self.leave(client)
                self._close(client)
            case Connect():
                raise PacketError("a second CONNECT", Reason.PROTOCOL_ERROR)

    def _publish(self, client: Client, publish: Publish) -> None:
        message = publish.message
        reason = Reason.SUCCESS
        if client.trusted:
            if message.topic.startswith("$"):
                reason = Reason.NOT_AUTHORIZED
        elif message.retain:
            raise PacketError("a probe may not send retained messages", Reason.RETAIN_NOT_SUPPORTED)
        elif not access.may_publish(client.user, message.topic):
            self._log.warning(
                "%s: dropped a message to a topic that it may not publish to", client.user
            )
            reason = Reason.NOT_AUTHORIZED
        if reason is Reason.SUCCESS:
            self._route(message, client)
        if publish.packet_id:
            # 3.1.1 cannot refuse: there the missing acknowledgement of the collector reveals it.
            client.connection.acknowledge(publish.packet_id, reason)

    def _subscribe(self, client: Client, wanted: Subscribe) -> None:
        reasons: list[Reason] = []
        granted: list[tuple[Subscription, bool]] = []
        for subscription in wanted.subscriptions:
            reason = self._allowed(client, subscription)
            if reason is not Reason.SUCCESS:
                reasons.append(reason)
                continue
            subscription = msgspec.structs.replace(subscription, qos=min(subscription.qos, 1))
            new = self._subscriptions.add(client, subscription)
            reasons.append(Reason(subscription.qos))
            granted.append((subscription, new))
        client.connection.subscribed(wanted.packet_id, reasons)
        for subscription, new in granted:
            handling = subscription.retain_handling
            if handling == 2 or (handling == 1 and not new) or split_shared(subscription.filter)[0]:
                continue
            for message in self._retained.matching(subscription.filter):
                self._deliver(client, message, subscription, retain=True)

    def _allowed(self, client: Client, subscription: Subscription) -> Reason:
        group, topic_filter = split_shared(subscription.filter)
        if not topic_filter:
            return Reason.INVALID_TOPIC_FILTER
        if group and subscription.no_local:
            raise PacketError("a shared subscription with No Local", Reason.PROTOCOL_ERROR)
        if not client.trusted and not access.may_subscribe(client.user, subscription.filter):
            return Reason.NOT_AUTHORIZED
        if self._subscriptions.count(client) >= MAX_SUBSCRIPTIONS:
            return Reason.QUOTA_EXCEEDED
        return Reason.SUCCESS

    def _route(self, message: AppMessage, sender: Client) -> None:
        if message.retain:
            self._retained.put(message)
        for client, subscription in self._subscriptions.receivers(message.topic, sender).items():
            if not client.trusted and not self._may_receive(client.user, message.topic):
                continue
            retain = message.retain and subscription.retain_as_published
            self._deliver(client, message, subscription, retain=retain)

    def _deliver(
        self, client: Client, message: AppMessage, subscription: Subscription, *, retain: bool
    ) -> None:
        qos = min(message.qos, subscription.qos)
        if qos != message.qos or retain != message.retain:
            message = msgspec.structs.replace(message, qos=qos, retain=retain)
        client.connection.deliver(message)
        self._changed(client)
