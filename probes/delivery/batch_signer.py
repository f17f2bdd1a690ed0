# SPDX-License-Identifier: Apache-2.0
"""Signs batches with the key that the monitor has of this probe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probes.delivery import enrolment, signing_key
from probes.delivery.monitor_request import EnrolmentError
from probes.delivery.signing_key import SigningKey, SigningKeyError
from probes.log import Log
from probes.wire.codec import BatchHeader

NOT_ENROLLED = "this probe is not enrolled"
NO_KEY = "the monitor has no key of this probe: `reachprobe key --renew` gives it one"


class BatchSigner:
    """The key in a state directory, while the monitor has it."""

    def __init__(self, directory: Path, log: Log) -> None:
        self._directory, self._log = directory, log
        self._key: SigningKey | None = None
        self.unsigned = ""
        """Why batches are not signed; empty when they are."""
        self.load()

    @property
    def key(self) -> str:
        """Id of the key; empty when batches are not signed."""
        return "" if self._key is None else self._key.id

    def load(self) -> bool:
        """Read the key, which may have been renewed. Return whether it is another one."""
        before, reason = self.key, self.unsigned
        self._key, self.unsigned = self._read()
        if self.unsigned not in ("", reason, NOT_ENROLLED):
            self._log("measurements are sent unsigned", reason=self.unsigned)
        return self.key != before

    def __call__(self, header: BatchHeader, lines: Sequence[bytes]) -> BatchHeader:
        """Return the header of a batch with these lines, signed if there is a key."""
        return header if self._key is None else self._key.signed(header, lines)

    def _read(self) -> tuple[SigningKey | None, str]:
        try:
            enrolled = enrolment.load(self._directory)
            if enrolled is None:
                return None, NOT_ENROLLED
            if not enrolled.key:
                return None, NO_KEY
            key = signing_key.load(self._directory)
        except (EnrolmentError, SigningKeyError) as error:
            return None, str(error)
        if key is None or key.id != enrolled.key:
            return None, f"the key {enrolled.key} is not in {self._directory / signing_key.FILE}"
        return key, ""
