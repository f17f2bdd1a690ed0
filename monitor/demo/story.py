# SPDX-License-Identifier: Apache-2.0
"""What the demonstration prints: when the simulated block begins, what the monitor concludes of it,
and when it ends. It reads the monitor's API as any visitor does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from monitor.demo.plan import network_label

POLL_SECONDS = 1.0
TIMEOUT_SECONDS = 30.0
_SAID = {
    "opened": "first alarm",
    "likely": "likely",
    "confirmed": "confirmed",
    "clearing": "becoming reachable again",
    "closed": "closed",
    "retracted": "retracted",
}
"""Words for stages of an event, in the order in which it passes them."""


def tell(line: str) -> None:
    """Print a line."""
    print(line, file=sys.stderr, flush=True)


def stage(event: Mapping[str, Any]) -> str:
    """How far an event of the API has come."""
    if event["state"] != "open":
        return str(event["state"])
    return {"unconfirmed": "opened"}.get(event["tier"], str(event["tier"]))


class Story:
    """Tells of the monitor at `address` (without a final slash); links are to `public_url`."""

    def __init__(
        self,
        address: str,
        public_url: str,
        names: Mapping[str, str],
        tell: Callable[[str], None] = tell,
    ) -> None:
        """`names` of services by id."""
        self._address, self._public_url, self._names, self._tell = address, public_url, names, tell
        self._stages: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        """Stage of the newest event by service."""
        self._changed = asyncio.Event()

    async def wait_for(self, service: str, wanted: str) -> None:
        """Until the newest event of a service is at this stage."""
        while self._newest.get(service) != wanted:
            self._changed.clear()
            await self._changed.wait()

    async def wait_for_first_round(self, vantages: int, targets: int, seconds: float) -> None:
        """Until so many vantages have a judged measurement of each of so many targets, at most
        this long."""
        async with self._session() as session:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        if len(await self._measured(session)) >= vantages * targets:
                            return
                        await asyncio.sleep(POLL_SECONDS)
            except TimeoutError:
                self._tell(f"Not every probe has measured within {seconds:.0f} s; going on.")

    async def run(self) -> None:
        """Print each new stage of each event, until cancelled."""
        async with self._session() as session:
            while True:
                found = await self._get(session, "/api/v1/events")
                for event in reversed(found.get("events", ())):
                    self.update(event)
                await asyncio.sleep(POLL_SECONDS)

    def update(self, event: Mapping[str, Any]) -> None:
        """Print the stage of an event when it is new."""
        now = stage(event)
        if self._stages.get(event["id"]) == now:
            return
        self._stages[event["id"]] = self._newest[event["service"]] = now
        self._changed.set()
        networks = ", ".join(map(network_label, event["asns"]))
        agreeing, _, total = event["scope"]["vantages"]["now"].partition("/")
        seen = {"clearing": "still seen", "closed": "", "retracted": ""}.get(now, "seen")
        votes = f" ({seen} by {agreeing} of {total} vantages)" if seen else ""
        link = f"{self._public_url}/e/{event['id']}"
        name = self._names.get(event["service"], event["service"])
        self._tell(f"{name} in {networks}: {_SAID.get(now, now)}{votes}. {link}")

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))

    async def _measured(self, session: aiohttp.ClientSession) -> set[tuple[str, str]]:
        """(vantage, target) of the newest measurements."""
        found = await self._get(session, "/api/v1/measurements?limit=1000")
        rows: Sequence[Mapping[str, Any]] = found.get("measurements", ())
        return {(row["vantage"], row["target"]) for row in rows}

    async def _get(self, session: aiohttp.ClientSession, path: str) -> Mapping[str, Any]:
        """An answer of the API; empty while there is none."""
        try:
            async with session.get(self._address + path) as answer:
                return dict(await answer.json()) if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
