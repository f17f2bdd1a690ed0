# SPDX-License-Identifier: Apache-2.0
"""Retests over MQTT: the detector's suspicions become requests to the probes of a network.

A request is worth something only now: what cannot be published at once, because the broker is
away or the round is old, is dropped, and the detector asks again with the next round that
still looks suspicious. Whether probes obey is their own matter.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator

from monitor.broker.client import connected
from monitor.detection.policy import Policy
from probes.runtime.mqtt import BrokerError
from probes.wire import topics
from probes.wire.retest import LEAST_INTERVAL_MS, MOST_TARGETS, Retest, encode_retest

log = logging.getLogger(__name__)
RECONNECT_SECONDS = (1.0, 30.0)
WAITING = 256
"""Requests that wait for the broker; more than that is no suspicion but a storm."""
LATE = 0.6
"""Past this part of a round its probes would have no time left: the next round is named."""
Place = tuple[str, int, str]
"""Country, network, target."""


class RetestAsker:
    """Publishes what the detector wants to be measured again."""

    def __init__(self, policy: Policy, clock: Callable[[], int]) -> None:
        self._policy, self._clock = policy, clock
        self._waiting: asyncio.Queue[Place] = asyncio.Queue(WAITING)
        self.asked = 0
        """Targets that were asked for since the start: one in two networks is two."""
        self._lately: deque[tuple[int, int]] = deque()

    def counts(self) -> tuple[int, int]:
        """Targets that were asked for since the start, and within the policy's window."""
        self._forget()
        return self.asked, sum(n for _, n in self._lately)

    def _forget(self) -> None:
        oldest = self._clock() - self._policy.ms(self._policy.retest_window_seconds)
        while self._lately and self._lately[0][0] <= oldest:
            self._lately.popleft()

    async def wanted(self, places: Iterable[Place]) -> None:
        """The detector's `on_suspicion`: ask soon, or never."""
        for place in places:
            if not self._waiting.full():
                self._waiting.put_nowait(place)

    async def run(self, url: str, user: str, secret: str) -> None:
        """Publish until cancelled; reconnects by itself."""
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                async with connected(url, user, secret, purpose="retests") as connection:
                    pause = RECONNECT_SECONDS[0]
                    while True:
                        places = [await self._waiting.get()]
                        while not self._waiting.empty():
                            places.append(self._waiting.get_nowait())
                        for topic, retest in requests(places, self._clock(), self._policy):
                            await connection.publish(topic, encode_retest(retest))
                            self.asked += len(retest.targets)
                            self._lately.append((self._clock(), len(retest.targets)))
                            self._forget()
            except BrokerError as error:
                log.warning("retests are not asked for: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, RECONNECT_SECONDS[1])
            while not self._waiting.empty():
                self._waiting.get_nowait()  # yesterday's suspicion


def requests(places: Iterable[Place], now: int, policy: Policy) -> Iterator[tuple[str, Retest]]:
    """Topic and request for each network, as few as possible, with one round for all.

    The round is a multiple of its length and may begin a little later than now.
    """
    length = max(LEAST_INTERVAL_MS, policy.ms(policy.retest_round_seconds))
    round, gone = now - now % length, now % length
    if gone > LATE * length:
        round += length
    by_network: dict[tuple[str, int], set[str]] = defaultdict(set)
    for country, asn, target in places:
        by_network[country, asn].add(target)
    for (country, asn), targets in sorted(by_network.items()):
        ordered = sorted(targets)
        for start in range(0, len(ordered), MOST_TARGETS):
            chosen = tuple(ordered[start : start + MOST_TARGETS])
            yield (
                topics.retest(country, asn),
                Retest(targets=chosen, round=round, interval_ms=length),
            )
