# SPDX-License-Identifier: Apache-2.0
"""Conditions of networks over MQTT: that of each network is retained for anyone to read.

A message is sent when a condition, or what it rests on, changes; one of a network without vantages
is cleared. What is retained is read from the broker, so a process that starts again sends nothing
twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from monitor.broker.client import connected, read_retained
from monitor.detection.network_condition import NetworkCondition
from monitor.detection.policy import Policy
from monitor.interop.forms import condition_form
from monitor.store.records import StoreUnavailableError
from probes.runtime.mqtt import BrokerError
from probes.wire import topics

log = logging.getLogger(__name__)
LOOK_SECONDS = 30.0
"""How often conditions are looked at, before division by the pace: a vantage is silent after
minutes."""
STANDBY_SECONDS, RECONNECT_SECONDS, READ_SECONDS = 1.0, 15.0, 30.0
Place = tuple[str, int]
"""Country and AS number."""
Conditions = Callable[[], Awaitable[Mapping[Place, NetworkCondition]]]


class NetworkPublisher:
    """Keeps the retained conditions of a broker equal to those that are known."""

    def __init__(
        self, conditions: Conditions, policy: Policy, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """Of several processes the one that `leads` publishes."""
        self._conditions, self._policy, self._leads = conditions, policy, leads

    async def run(self, url: str, user: str, secret: str) -> None:
        """Publish until cancelled; reconnects by itself."""
        while True:
            try:
                if self._leads():
                    await self._lead(url, user, secret)
                await asyncio.sleep(STANDBY_SECONDS)
            except (BrokerError, StoreUnavailableError) as error:
                reason = str(error).splitlines()[0][:200]
                log.warning("conditions of networks are not published: %s", reason)
                await asyncio.sleep(RECONNECT_SECONDS * random.uniform(0.5, 1.5))

    async def _lead(self, url: str, user: str, secret: str) -> None:
        """Publish as long as this process leads. Raises BrokerError and StoreUnavailableError."""
        sent = await _held(url, user, secret)
        async with connected(url, user, secret, purpose="networks") as connection:
            while self._leads():
                wanted = bodies(await self._conditions())
                for place in sorted(sent.keys() | wanted.keys()):
                    body = wanted.get(place, b"")
                    if sent.get(place, b"") != body:
                        await connection.publish(topics.network(*place), body, retain=True)
                sent = wanted
                await asyncio.sleep(max(0.5, LOOK_SECONDS / self._policy.pace))


def bodies(conditions: Mapping[Place, NetworkCondition]) -> dict[Place, bytes]:
    """What is to be retained for each network: as an element of `GET /api/v1/networks`, as far as
    the condition goes."""
    return {
        (country, asn): msgspec.json.encode(
            {"country": country, "asn": asn, **condition_form(condition)}
        )
        for (country, asn), condition in conditions.items()
    }


async def _held(url: str, user: str, secret: str) -> dict[Place, bytes]:
    """What the broker retains. A connection of its own, so that what is published later is not
    heard."""
    async with connected(url, user, secret, purpose="retained") as connection:
        messages, _ = await read_retained(connection, topics.ALL_NETWORKS, READ_SECONDS)
    held: dict[Place, bytes] = {}
    for message in messages:
        country, asn = message.topic.split("/")[-2:]
        if message.payload and asn.isdecimal():
            held[country, int(asn)] = message.payload
    return held
