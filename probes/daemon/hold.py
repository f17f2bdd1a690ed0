# SPDX-License-Identifier: Apache-2.0
"""Whether nothing may be measured now: the volunteer has paused the probe or does not want it on a
metered connection, or the operator has revoked it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probes import metered, state_directory, status
from probes.config import AgentConfig
from probes.daemon.status_keeper import StatusKeeper
from probes.log import Log

LOOK_SECONDS = 2.0
"""How often a paused probe looks whether it may go on."""


class Hold:
    """Tells whether measuring has to wait, and waits."""

    def __init__(
        self, config: AgentConfig, keeper: StatusKeeper, log: Log, now_ms: Callable[[], int]
    ) -> None:
        self._config, self._keeper, self._log, self._now_ms = config, keeper, log, now_ms
        self.metered = False
        """Whether the connection is metered, as far as that is known and matters."""

    def holds(self) -> bool:
        """Whether nothing may be measured now."""
        on_metered = self.metered and self._config.metered == "pause"
        return on_metered or self._is_paused() or self._is_revoked()

    async def wait(self) -> None:
        """Wait until measuring may go on."""
        if not self.holds():
            return
        if self._is_revoked():
            self._log("measuring has stopped", reason=status.REVOKED)
        else:
            volunteer = self._is_paused()
            self._log("paused", by="the volunteer" if volunteer else "the metered connection")
        self._keeper.set(next_round_ms=0)
        while self.holds():
            self._keeper.set(paused=self._is_paused())
            await asyncio.sleep(LOOK_SECONDS)
        self._keeper.set(paused=False, resumed_ms=self._now_ms())
        self._log("resumed")

    async def watch_metered(self, on_change: Callable[[], None]) -> None:
        """Ask regularly whether the connection is metered, where that can be known and matters."""
        while self._config.metered != "ignore" and metered.available():
            is_metered = await metered.is_metered()
            if is_metered != self.metered:
                self.metered = is_metered
                self._log("metered connection" if is_metered else "connection no longer metered")
                self._keeper.set(metered=is_metered)
                on_change()
            await asyncio.sleep(metered.ASK_SECONDS)

    def _is_paused(self) -> bool:
        return state_directory.paused(self._config.directory)

    def _is_revoked(self) -> bool:
        """Whether the operator has revoked this probe, and no broker has accepted it since."""
        self._keeper.copy_delivery()
        revoked = status.is_revoked(self._keeper.status, self._now_ms())
        self._keeper.set(revoked=revoked)
        return revoked
