"""Which addresses from elsewhere a control tries, and that nobody else tries any."""

from __future__ import annotations

import pytest

from probes.rounds.handed_over import (
    HOUR_MS,
    KEPT_MS,
    MAX_NEW_PER_HOUR,
    MAX_PER_ENDPOINT,
    HandedOver,
)
from probes.wire.measurement import Role
from probes.wire.retest import FailedAddresses
from probes.wire.target import Endpoint, Target

NOW = 1_795_521_600_000
NAMED = Endpoint(host="wechat.test", port=443, protocol="tls")
LITERAL = Endpoint(address="198.51.100.9", port=443, protocol="tls")
TARGETS = (Target(id="wechat/web", endpoints=(NAMED, LITERAL)),)
KEY = ("wechat/web", NAMED.id)


def failed(*addresses: str, target: str = "wechat/web", endpoint: str = NAMED.id):
    return [FailedAddresses(target=target, endpoint=endpoint, addresses=addresses)]


def test_a_control_tries_them_for_a_while() -> None:
    handed = HandedOver()
    assert handed.accept(failed("192.0.2.1", "192.0.2.2"), Role.CONTROL, TARGETS, NOW) == 2
    assert handed.addresses(NOW + KEPT_MS - 1) == {KEY: ("192.0.2.1", "192.0.2.2")}
    assert handed.accept(failed("192.0.2.1"), Role.CONTROL, TARGETS, NOW + KEPT_MS - 1) == 0
    assert handed.addresses(NOW + KEPT_MS) == {KEY: ("192.0.2.1",)}, "named again, kept for longer"
    assert handed.addresses(NOW + 2 * KEPT_MS) == {}


def test_a_vantage_accepts_none() -> None:
    handed = HandedOver()
    assert handed.accept(failed("192.0.2.1"), Role.VANTAGE, TARGETS, NOW) == 0
    assert handed.addresses(NOW) == {}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(failed("192.0.2.1", target="signal/chat"), id="another target"),
        pytest.param(failed("192.0.2.1", endpoint="evil.test:22/tcp"), id="another host and port"),
        pytest.param(failed("192.0.2.1", endpoint="wechat.test:22/tls"), id="another port"),
        pytest.param(failed("192.0.2.1", endpoint=LITERAL.id), id="an address of the catalogue"),
    ],
)
def test_endpoints_are_those_of_the_catalogue(asked: list[FailedAddresses]) -> None:
    handed = HandedOver()
    assert handed.accept(asked, Role.CONTROL, TARGETS, NOW) == 0
    assert handed.addresses(NOW) == {}


def test_a_hostile_broker_gets_few_tried() -> None:
    handed, tried = HandedOver(), set[str]()
    for minute in range(60):
        now = NOW + 60_000 * minute
        for part in range(10):
            new = [f"203.0.{minute}.{4 * part + n}" for n in range(4)]
            handed.accept(failed(*new), Role.CONTROL, TARGETS, now)
        present = handed.addresses(now)[KEY]
        assert len(present) <= MAX_PER_ENDPOINT
        tried.update(present)
    assert MAX_PER_ENDPOINT < len(tried) <= MAX_NEW_PER_HOUR
    assert handed.accept(failed("192.0.2.1"), Role.CONTROL, TARGETS, NOW + 2 * HOUR_MS) == 1


def test_many_endpoints_share_the_limit_of_the_hour() -> None:
    endpoints = tuple(Endpoint(host=f"h{n}.test", port=443, protocol="tls") for n in range(40))
    targets = (Target(id="wechat/web", endpoints=endpoints),)
    handed = HandedOver()
    for number, endpoint in enumerate(endpoints):
        some = [f"203.0.{number}.{n}" for n in range(4)]
        handed.accept(failed(*some, endpoint=endpoint.id), Role.CONTROL, targets, NOW)
    assert sum(map(len, handed.addresses(NOW).values())) == MAX_NEW_PER_HOUR


def test_the_newest_addresses_of_an_endpoint_are_tried() -> None:
    handed = HandedOver()
    for number in range(MAX_PER_ENDPOINT + 2):
        handed.accept(failed(f"192.0.2.{number}"), Role.CONTROL, TARGETS, NOW + number)
    tried = handed.addresses(NOW + 60_000)[KEY]
    assert set(tried) == {f"192.0.2.{2 + number}" for number in range(MAX_PER_ENDPOINT)}


def test_a_clock_that_is_set_back_keeps_nothing_for_longer() -> None:
    handed = HandedOver()
    handed.accept(failed("192.0.2.1"), Role.CONTROL, TARGETS, NOW)
    assert handed.addresses(NOW - 24 * HOUR_MS) == {}
    assert handed.accept(failed("192.0.2.1"), Role.CONTROL, TARGETS, NOW - 24 * HOUR_MS) == 1
