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

    def __init__(self, address: str, public_url: str, tell: Callable[[str], None] = tell) -> None:
        self._address, self._public_url, self._tell = address, public_url, tell
        self._stages: dict[str, str] = {}
        self.confirmed = asyncio.Event()
        """An event was confirmed."""

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
        self._stages[event["id"]] = now
        if now == "confirmed":
            self.confirmed.set()
        networks = ", ".join(f"AS{asn}" for asn in event["asns"])
        agreeing, _, total = event["scope"]["vantages"]["now"].partition("/")
        seen = {"clearing": "still seen", "closed": "", "retracted": ""}.get(now, "seen")
        votes = f" ({seen} by {agreeing} of {total} vantages)" if seen else ""
        link = f"{self._public_url}/e/{event['id']}"
        self._tell(f"{event['service']} in {networks}: {_SAID.get(now, now)}{votes}. {link}")

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
