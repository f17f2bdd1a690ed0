# SPDX-License-Identifier: Apache-2.0
"""The ways to the monitor that this probe uses now: those of its enrolment, or those that replaced
them (`announced_ways`), remembered over restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from probes import state_directory
from probes.delivery import announced_ways
from probes.delivery.announced_ways import AnnouncedWays, WayStage
from probes.delivery.ways import in_order
from probes.log import Log
from probes.runtime.broker_url import Broker
from probes.runtime.proxy import Proxy
from probes.state_directory import StateError

FILE = "announced_ways.json"


class MonitorWays:
    """Says which ways there are, the best first."""

    def __init__(
        self,
        enrolled: tuple[Broker, ...],
        proxy: Proxy | None,
        directory: Path | None,
        *,
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        """`enrolled` are those of the enrolment. Without a directory nothing replaces them."""
        self._enrolled, self._proxy, self._now_ms, self._log = enrolled, proxy, now_ms, log
        self._path = directory / FILE if directory else None
        self.announced = AnnouncedWays() if directory is None else load(directory)
        self._use()

    def announce(self, serial: int, urls: tuple[str, ...]) -> bool:
        """Try the addresses that a catalogue names. Return whether there are other ways now."""
        if self._path is None:
            return False
        after = announced_ways.announced(self.announced, serial, urls, self._now_ms())
        return self._change(after)

    def acknowledged(self, way: str, failures: Mapping[str, int]) -> bool:
        """Note that something was acknowledged over a way, by its name; `failures` tells how often
        in a row ways failed. Return whether there are other ways now."""
        return self._change(
            announced_ways.acknowledged(
                self.announced,
                by_named=way in self._named,
                failures=[failures.get(name, 0) for name in self._direct],
                now=self._now_ms(),
            )
        )

    def _change(self, after: AnnouncedWays) -> bool:
        if after == self.announced:
            return False
        self.announced = after
        self._log("addresses of the monitor", stage=after.stage, serial=after.serial)
        self._use()
        assert self._path is not None
        try:
            state_directory.write(self._path, msgspec.json.encode(after) + b"\n")
        except StateError as error:
            self._log("addresses of the monitor not saved", every=600.0, reason=str(error))
        return True

    def _use(self) -> None:
        groups = [
            in_order(urls, self._proxy) if urls else self._enrolled
            for urls in self.announced.groups()
        ]
        known = {way.name: way for group in groups for way in group}
        self.ways = tuple(sorted(known.values(), key=lambda way: way.proxy is not None))
        self._direct = [way.name for way in in_order(self.announced.named)]
        self._named = {way.name for way in in_order(self.announced.named, self._proxy)}


def load(directory: Path) -> AnnouncedWays:
    """Return what is remembered of the addresses that were named: nothing where that cannot be
    read, so that those of the enrolment are used."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=AnnouncedWays)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return AnnouncedWays()


def web_server(directory: Path, enrolled: str) -> str:
    """Return the base URL of the monitor's web server: the enrolment's, or what replaced it."""
    known = load(directory)
    named = known.named if known.stage is WayStage.IN_USE else known.earlier
    return next((url for url in named if url.startswith("https://")), enrolled)
