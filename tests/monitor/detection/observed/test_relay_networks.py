"""Networks that relays leave from: each with its source."""

from __future__ import annotations

import datetime as dt

from monitor.detection.observed.relay_networks import RELAY_NETWORKS, is_relay


def test_each_relay_has_a_source_and_a_date_and_is_listed_once() -> None:
    assert all(network.operator and network.source for network in RELAY_NETWORKS)
    assert all(dt.date.fromisoformat(network.read) for network in RELAY_NETWORKS)
    assert len({network.asn for network in RELAY_NETWORKS}) == len(RELAY_NETWORKS)


def test_a_carrier_is_no_relay() -> None:
    assert is_relay(13335)
    assert not is_relay(33771)  # Safaricom
    assert not is_relay(0)
