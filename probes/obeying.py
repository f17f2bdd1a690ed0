"""What the detector asks this probe to measure again: admitted, waited for, measured in its turn.

The bounds are `probes.again`'s, measuring is the caller's. Never at the same time as a round of
the probe's own, and never after one has begun that answers the request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from probes.again import Order, Retests
from probes.log import Log
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
        self._retests, self._measure, self._turn = retests, measure, turn
        self._now_ms, self._rng, self._log = now_ms, rng, log
        self._orders: asyncio.Queue[Order] = asyncio.Queue()

    def ask(self, asked: Retest, room: float) -> None:
        """Take a request, or say why not; `room` is what the traffic budget allows an hour."""
        order = self._retests.admit(
            asked, self._now_ms(), self._rng, between=self.between, busy=self.busy, room=room
        )
        if isinstance(order, str):
            self._log("retest refused", every=600.0, reason=order)
        else:
            self._orders.put_nowait(order)

    async def run(self) -> None:
        """Measure what was admitted, until cancelled."""
        while True:
            order = await self._orders.get()
            await asyncio.sleep(max(0, order.start_ms - self._now_ms()) / 1000)
            async with self._turn:
                if self._now_ms() >= order.until_ms or order.round_ms <= self.between[0]:
                    continue
                names = ",".join(target.id for target in order.targets)
                self._log("measuring again", targets=names)
                await self._measure(order)
                self.measured += len(order.targets)
