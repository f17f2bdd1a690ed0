"""What the broker does with admitted clients, without a socket. Who may use which topic is in
test_access, on real brokers."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from monitor.broker import access, packets, router
from monitor.broker.connection import Disconnect, ServerConnection
from monitor.broker.packets import V5, AppMessage, Connect, Publish, Subscribe, Subscription
from monitor.broker.properties import PacketError, Reason
from monitor.broker.router import Client, Router
from monitor.seldom_log import SeldomLog
from probes.wire import topics

P, Q = "p-0000000000000001", "p-0000000000000002"


class House:
    def __init__(self, places: Mapping[str, tuple[str, int]] | None = None) -> None:
        self.closed: list[Client] = []
        log = SeldomLog(logging.getLogger("test"))
        may = access.anybody_may_receive if places is None else access.near(places.get)
        self.router = Router(
            "monitor", lambda client: None, self.closed.append, lambda: 0.0, log, may
        )

    def join(self, user: str, will: AppMessage | None = None, id: str = "") -> Client:
        connect = Connect(level=V5, user=user, secret="s", will=will, client_id=id)
        assert self.router.refusal(connect) is Reason.SUCCESS
        connection = ServerConnection()
        connection.receive(b"\x10\x13\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x00\x00\x01u\x00\x01s")
        client, _ = self.router.join(connect, connection)
        connection.take_output()
        return client

    def subscribe(self, client: Client, *wanted: Subscription) -> list[int]:
        self.router.handle(client, Subscribe(1, wanted))
        answer = client.connection.take_output()
        return list(answer[5 : 5 + len(wanted)])

    def publish(self, client: Client, topic: str, payload: bytes = b"x", **more: object) -> int:
        """The reason of its PUBACK."""
        message = AppMessage(topic, payload, 1, **more)  # type: ignore[arg-type]
        self.router.handle(client, Publish(message, 7))
        answer = client.connection.take_output()
        return answer[4] if len(answer) > 4 else 0


def heard(client: Client) -> list[AppMessage]:
    splitter = packets.Splitter(1 << 20)
    splitter.add(client.connection.take_output())
    return [packets.parse_publish(p, V5).message for p in iter(splitter.next, None)]


def test_a_message_goes_to_its_subscribers_with_the_lower_qos() -> None:
    house = House()
    monitor, probe = house.join("monitor"), house.join(P)
    assert house.subscribe(monitor, Subscription(topics.ALL_MEASUREMENTS, 0)) == [0]
    assert house.publish(probe, topics.measurements(P)) == 0
    assert heard(monitor) == [AppMessage(topics.measurements(P), b"x", 0)]
    assert house.publish(probe, topics.measurements(Q)) == Reason.NOT_AUTHORIZED
    assert heard(monitor) == []


def test_qos_2_is_granted_as_1_and_bad_filters_are_refused_one_by_one() -> None:
    house = House()
    probe = house.join(P)
    wanted = (
        Subscription(topics.ack(P), 2),
        Subscription(topics.ALL_STATUS, 1),
        Subscription(f"{topics.PREFIX}/events/#/x", 1),
        Subscription(f"$share/g/{topics.ack(P)}", 1),
    )
    assert house.subscribe(probe, *wanted) == [
        1,
        Reason.NOT_AUTHORIZED,
        Reason.INVALID_TOPIC_FILTER,
        Reason.NOT_AUTHORIZED,
    ]


@pytest.mark.parametrize("wanted", ["#", "+/+", "RU/+", "RU/64501"])
def test_retests_are_read_in_their_own_network_alone(wanted: str) -> None:
    house = House({P: ("RU", 64501), Q: ("RU", 64502)})
    monitor, *probes = (house.join(user) for user in ("monitor", P, Q, "p-of-no-measurement"))
    for probe in probes:
        assert house.subscribe(probe, Subscription(f"{access.RETESTS}{wanted}", 1)) == [1]
    for topic in (topics.retest("RU", 64501), topics.retest("FR", 64503)):
        house.publish(monitor, topic)
    assert [[message.topic for message in heard(probe)] for probe in probes] == [
        [topics.retest("RU", 64501)],
        [],
        [],
    ]


def test_a_client_has_a_limited_number_of_filters() -> None:
    house = House()
    probe = house.join(P)
    for number in range(router.MAX_SUBSCRIPTIONS):
        assert house.subscribe(probe, Subscription(topics.retest("RU", number))) == [0]
    assert house.subscribe(probe, Subscription(topics.CATALOGUE)) == [Reason.QUOTA_EXCEEDED]


def test_retained_messages_by_the_options_of_the_subscription() -> None:
    house = House()
    monitor, probe = house.join("monitor"), house.join(P)
    event = topics.events("wechat", "RU")
    house.publish(monitor, event, b"open", retain=True)
    for handling, first, again in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
        wanted = Subscription(event, 1, retain_handling=handling)
        got = []
        for _ in range(2):
            house.router.handle(probe, Subscribe(1, (wanted,)))
            suback_then_messages = probe.connection.take_output()
            got.append(suback_then_messages.count(b"open"))
        assert got == [first, again]
        house.router.handle(probe, packets.Unsubscribe(1, (event,)))
        assert probe.connection.take_output()[-1] == 0
    house.subscribe(probe, Subscription(event, 1, retain_as_published=True))
    house.publish(monitor, event, b"closed", retain=True)
    assert heard(probe) == [AppMessage(event, b"closed", 1, True)]


def test_a_probe_may_not_retain() -> None:
    house = House()
    probe = house.join(P)
    with pytest.raises(PacketError) as caught:
        house.publish(probe, topics.status(P), retain=True)
    assert caught.value.reason is Reason.RETAIN_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("user", "will", "reason"),
    [
        (P, AppMessage(topics.status(P), b"lost", 1), Reason.SUCCESS),
        (P, AppMessage(topics.status(Q), b"lost", 1), Reason.NOT_AUTHORIZED),
        (P, AppMessage(topics.status(P), b"lost", 1, True), Reason.RETAIN_NOT_SUPPORTED),
        (P, AppMessage(topics.status(P), b"lost", 2), Reason.QOS_NOT_SUPPORTED),
        ("monitor", AppMessage("anything", b"lost", 1, True), Reason.SUCCESS),
    ],
)
def test_wills(user: str, will: AppMessage, reason: Reason) -> None:
    connect = Connect(level=V5, user=user, secret="s", will=will)
    assert House().router.refusal(connect) is reason


def test_a_will_is_published_unless_the_client_said_goodbye() -> None:
    house = House()
    monitor = house.join("monitor")
    house.subscribe(monitor, Subscription(topics.ALL_STATUS, 1))
    will = AppMessage(topics.status(P), b"lost", 1)
    for publish_will in (False, True):
        probe = house.join(P, will)
        house.router.handle(probe, Disconnect(publish_will=publish_will))
        assert [m.payload for m in heard(monitor)] == [b"lost"] * publish_will
    probe = house.join(P, will)
    house.router.leave(probe)
    house.router.leave(probe)
    assert [m.payload for m in heard(monitor)] == [b"lost"], "once"


def test_a_probe_takes_over_its_own_connection_alone() -> None:
    house = House()
    monitors = [house.join("monitor", id="one"), house.join("monitor", id="two")]
    house.subscribe(monitors[0], Subscription(topics.ALL_STATUS, 1))
    older = house.join(P, AppMessage(topics.status(P), b"lost", 1))
    other = house.join(Q, id=P)
    newer = house.join(P)
    assert house.closed == [older]
    assert older.connection.take_output() == packets.disconnect(V5, Reason.SESSION_TAKEN_OVER)
    assert [m.payload for m in heard(monitors[0])] == [b"lost"]
    house.router.leave(older)
    assert house.router.clients == [*monitors, other, newer]


def test_the_monitor_publishes_anywhere_but_below_dollar() -> None:
    house = House()
    monitor = house.join("monitor")
    assert house.publish(monitor, "anything") == 0
    assert house.publish(monitor, "$SYS/x") == Reason.NOT_AUTHORIZED
