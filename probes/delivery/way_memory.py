# SPDX-License-Identifier: Apache-2.0
"""What this probe remembers of its ways to the monitor, for each network, over restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from probes import state_directory
from probes.delivery.ladder import WayRecord
from probes.log import Log
from probes.state_directory import StateError

FILE = "ways.json"
MOST_NETWORKS = 16
_Networks = dict[str, dict[str, WayRecord]]


class WayMemory:
    """Records of ways by network, kept in a file; in memory alone without one."""

    def __init__(self, directory: Path | None, log: Log) -> None:
        self._path, self._log = directory / FILE if directory else None, log
        self._networks: _Networks = {}
        if self._path is not None:
            try:
                self._networks = msgspec.json.decode(self._path.read_bytes(), type=_Networks)
            except FileNotFoundError:
                pass
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                log("ways to the monitor are not remembered", reason=str(error))

    def records(self, network: str, ways: Sequence[str]) -> list[WayRecord]:
        """What is known of these ways in a network, in their order."""
        known = self._networks.get(network, {})
        return [known.get(way, WayRecord()) for way in ways]

    def change(
        self, network: str, way: str, step: Callable[[WayRecord], WayRecord], ways: Sequence[str]
    ) -> None:
        """Replace the record of a way by what `step` makes of it. Ways that are no longer among
        `ways` are forgotten."""
        known = self._networks.pop(network, {})
        before = known.get(way, WayRecord())
        after = step(before)
        known[way] = after
        self._networks[network] = {name: known[name] for name in ways if name in known}
        while len(self._networks) > MOST_NETWORKS:
            del self._networks[next(iter(self._networks))]
        if (before.state, before.failure) != (after.state, after.failure):
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            state_directory.write(self._path, msgspec.json.encode(self._networks) + b"\n")
        except StateError as error:
            self._log("ways to the monitor not saved", every=600.0, reason=str(error))
