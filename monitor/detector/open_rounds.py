# SPDX-License-Identifier: Apache-2.0
"""Rounds that are not over: folded for retests alone, so that a slow or silent probe does not delay
retests by the others. Nothing of them is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.detection.events.history import Folding
from monitor.detection.events.state import ServiceState
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.policy import Policy
from monitor.detector.rest import NO_REST, Work
from monitor.detector.retest_publisher import RetestTracker
from monitor.detector.round_reader import Pause, RoundReader, Rounds

MAX_ROUNDS = 12
"""Open rounds that are folded. No honest fleet has more at a time."""


class OpenRounds:
    """The open rounds of all services of one detector, and the retests that they show to be needed.

    They are read whole each time, so that after each time nothing is done for a while: a large
    fleet's must not take more than a part of the detector's time.
    """

    def __init__(
        self,
        reader: RoundReader,
        retests: RetestTracker,
        policy: Policy,
        fingerprints: Fingerprints,
        clock: Callable[[], int],
    ) -> None:
        self._reader, self._retests, self._clock = reader, retests, clock
        self._policy, self._fingerprints = policy, fingerprints
        self._rest = NO_REST

    async def fold(
        self,
        states: Mapping[str, ServiceState],
        opened: Rounds,
        rest_factor: float,
        pause: Pause,
    ) -> dict[str, int]:
        """Fold the open rounds of these services, each after its state, and request the retests.

        Returns when to call this again, Unix milliseconds, by service: those that were not folded
        because it was too early. `rest_factor` as `monitor.detector.rest.FACTOR`, `pause` as in
        `RoundReader`.
        """
        if not self._retests.asks:
            return {}
        now, work = self._clock(), Work(rest_factor)
        if self._rest.lasts(now):
            return dict.fromkeys(states, self._rest.until)
        again: dict[str, int] = {}
        due: dict[str, list[int]] = {}
        for service in states:
            begun = [round for round in opened[service] if round <= now]
            if not 0 < len(begun) <= MAX_ROUNDS:
                continue
            if (at := self._retests.open_rounds_due(service, now)) > now:
                again[service] = at
            else:
                due[service] = begun
        foldings = {
            service: Folding(
                states[service], self._policy, keep=False, fingerprints=self._fingerprints
            )
            for service in due
        }
        for round in sorted({round for begun in due.values() for round in begun}):
            mine = {service: [round] for service, begun in due.items() if round in begun}
            controls = await self._reader.fold(foldings, mine, pause, pending=True)
            self._retests.record_controls(controls)
            for service in mine:
                await self._retests.request(foldings[service].state, self._clock(), new_round=True)
        self._rest = work.rest(self._clock())
        return again
