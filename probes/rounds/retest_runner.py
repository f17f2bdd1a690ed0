# SPDX-License-Identifier: Apache-2.0
"""What the detector asks this probe to measure again: admitted, waited for, measured in its turn.

The bounds are `probes.rounds.retests`'s, measuring is the caller's. Never at the same time as a
round of the probe's own, and never after one has begun that answers the request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from probes.log import Log
from probes.rounds.retests import Order, Retests
from probes.wire.retest import Retest


class Obeying:
    """The requests to one probe."""

    def __init__(
        self,
        retests: Retests,
        measure: Callable[[Order], Awaitable[None]],
        *,
        turn: asyncio.Lock,
        now_ms: Callable[[], int],
        rng: random.Random,
        log: Log,
    ) -> None:
        """`turn` is held by whoever measures."""
        self.between = (0, 0)
        """The probe's last round begun, and its next."""
        self.busy: set[str] = set()
        """Targets that the round under way has still to measure."""
        self.measured = 0
        """Targets measured again since the start."""
        self.waiting = 0
        """Targets that were admitted and are not measured yet."""
        self._retests, self._measure, self._turn = retests, measure, turn
        self._now_ms, self._rng, self._log = now_ms, rng, log
        self._orders: asyncio.Queue[Order] = asyncio.Queue()

    def ask(self, asked: Retest, room: float) -> None:
        """Take a request, or say why not; `room` is for how many the traffic budget has enough."""
        order = self._retests.admit(
            asked, self._now_ms(), self._rng, between=self.between, busy=self.busy, room=room
        )
        if isinstance(order, str):
            self._log("retest refused", every=600.0, reason=order)
        else:
            self.waiting += len(order.targets)
            self._orders.put_nowait(order)

    async def run(self) -> None:
        """Measure what was admitted, until cancelled."""
        while True:
            order = await self._orders.get()
            # A clock that went back meanwhile must not make this wait for hours.
            left = min(order.start_ms - self._now_ms(), order.interval_ms)
            await asyncio.sleep(max(0, left) / 1000)
            async with self._turn:
                waiting = [order]
                while not self._orders.empty():
                    waiting.append(self._orders.get_nowait())
                for each in _merged(self._still(waiting)):
                    names = ",".join(target.id for target in each.targets)
                    self._log("measuring again", targets=names)
                    await self._measure(each)
                    self.measured += len(each.targets)
                self.waiting -= sum(len(each.targets) for each in waiting)

    def _still(self, orders: Iterable[Order]) -> list[Order]:
        """Those for which it is not too late."""
        now, last = self._now_ms(), self.between[0]
        return [order for order in orders if now < order.until_ms and order.round_ms > last]


def _merged(orders: Iterable[Order]) -> list[Order]:
    """One order a round: where many services fail at once, each asks for itself, and liveness
    need not be measured for each."""
    found: dict[tuple[int, int], Order] = {}
    for order in orders:
        key = order.round_ms, order.interval_ms
        known = found.get(key)
        found[key] = (
            order if known is None else replace(known, targets=(*known.targets, *order.targets))
        )
    return list(found.values())
