# SPDX-License-Identifier: Apache-2.0
"""What was read of files and is not stored yet: packed from time to time, so that an hour of a
whole world takes a few megabytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.interop.ooni.run import stored
from monitor.store.batches import batches_of
from monitor.store.followed import FollowedFile
from monitor.store.records import Admitted, AdmittedBatch
from probes.wire.measurement import Measurement

PACKED = 1000
"""Measurements that are packed together, about; decoded, one takes some ten kilobytes."""
MOST = 25_000
"""Measurements that are stored together, about: half a second, in which nobody else writes. An hour
of OONI's four tests has half as many. What is stored whole is judged once; of an hour in parts,
each that follows is late, and what was concluded from those before it is folded again."""
WAITS_MS = 60_000
"""So long what was read of an hour waits for the rest of the hour: a slow line takes minutes."""


@dataclass
class Unsaved:
    """Measurements, and how far their files were read with them."""

    files: list[FollowedFile] = field(default_factory=list)
    _admitted: list[Admitted] = field(default_factory=list)
    _batches: list[AdmittedBatch] = field(default_factory=list)
    _packed: int = 0
    """Measurements in the batches."""
    _since: int = 0
    """When the first was added."""

    def add(
        self, measurements: Iterable[tuple[Measurement, bytes]], file: FollowedFile, now: int
    ) -> None:
        """Add measurements with their lines, and their file as far as it was read with them."""
        received = self._admitted[0].received if self._admitted else now
        self._admitted += [
            Admitted(stored=stored(measurement), line=line, received=received)
            for measurement, line in measurements
        ]
        self.note(file, now)
        if len(self._admitted) >= PACKED:
            self._pack()

    def note(self, file: FollowedFile, now: int) -> None:
        """Add how far a file was read."""
        if not self.files:
            self._since = now
        self.files.append(file)

    @property
    def is_full(self) -> bool:
        """Whether it is to be stored before more is read."""
        return self._packed >= MOST

    def is_old(self, now: int) -> bool:
        """Whether it is to be stored though its hour is not read to its end."""
        return bool(self.files) and now - self._since >= WAITS_MS

    def batches(self) -> list[AdmittedBatch]:
        """All measurements, packed."""
        self._pack()
        return self._batches

    def _pack(self) -> None:
        self._batches += batches_of(self._admitted)
        self._packed += len(self._admitted)
        self._admitted = []
