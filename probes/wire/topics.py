# SPDX-License-Identifier: Apache-2.0
"""MQTT topic names, made and taken apart in one place."""

from __future__ import annotations

PREFIX = "reachwatch/v1"
CATALOGUE = f"{PREFIX}/catalogue"
ALL_MEASUREMENTS = f"{PREFIX}/m/+"
ALL_EVENTS = f"{PREFIX}/events/+/+"
ALL_NETWORKS = f"{PREFIX}/networks/+/+"
ALL_STATUS = f"{PREFIX}/status/+"
COLLECTORS_SHARE = "$share/collectors/"


def measurements(probe: str) -> str:
    """Where a probe writes its batches."""
    return f"{PREFIX}/m/{probe}"


def ack(probe: str) -> str:
    """Where the monitor says which batches of this probe are stored."""
    return f"{PREFIX}/ack/{probe}"


def status(probe: str) -> str:
    """Where a probe says hello, heartbeat and goodbye (its will)."""
    return f"{PREFIX}/status/{probe}"


def retest(country: str, asn: int) -> str:
    """Where the monitor asks the probes of a network to measure a target again now."""
    return f"{PREFIX}/retest/{country}/{asn}"


def events(service: str, country: str) -> str:
    """Where the open event of a service in a country is retained."""
    return f"{PREFIX}/events/{service}/{country}"


def events_in(country: str) -> str:
    """What matches the events of a country."""
    return events("+", country)


def network(country: str, asn: int) -> str:
    """Where the condition of a network is retained."""
    return f"{PREFIX}/networks/{country}/{asn}"


def is_event(topic: str) -> bool:
    """Whether an event is published there."""
    return topic.startswith(f"{PREFIX}/events/")


def probe_of(topic: str) -> str | None:
    """The probe id in a `m/`, `ack/` or `status/` topic; None for any other topic."""
    head, _, probe = topic.rpartition("/")
    return probe if head in (f"{PREFIX}/m", f"{PREFIX}/ack", f"{PREFIX}/status") and probe else None
