# SPDX-License-Identifier: Apache-2.0
"""The Store port, in four small protocols, and the values that cross it.

Facts are added once and never changed. Conclusions are replaced as a whole by the detector, in
one transaction with its cursor. The registry knows tokens and probes. What pages read is in
`monitor.store.reading`. Every method is one transaction. A store that cannot be reached, is
locked or is full raises `StoreUnavailableError`; whoever calls waits and tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from monitor.detection.model import Event, Stored, Verdict


class StoreUnavailableError(Exception):
    """The store did not take or give anything; the text says why in one line."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement line that passed admission."""

    stored: Stored
    line: bytes
    """The JSON line as sent: never re-serialised."""
    received: int
    """Unix milliseconds; for the journal and for lag, never read by the detector."""


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that were not admitted, kept for a look within caps."""

    probe: str
    reason: str
    """One of a closed list (`monitor.collector.admission.REASONS`)."""
    detail: str
    payload: bytes
    received: int


class Added(msgspec.Struct, frozen=True):
    """What one `add` did."""

    new: int
    duplicate: int
    conflicting: int
    """Same id, other bytes: the first stays, the other went to quarantine."""


class FactStore(Protocol):
    """Measurements and quarantine."""

    async def add(self, admitted: Sequence[Admitted], quarantined: Sequence[Quarantined]) -> Added:
        """Keep all of it durably or raise: when this returns, an acknowledgement may be sent."""

    async def arrivals(self, after: int, limit: int = 10_000) -> Sequence[tuple[int, str, int]]:
        """(arrival number, target, round) of measurements that arrived after a number, in order."""

    async def facts(
        self, first_round: int, last_round: int, service: str | None = None
    ) -> Sequence[Stored]:
        """Measurements of rounds first..last (both included) of a service, and always the
        liveness targets; sorted by (round, started, id)."""

    async def rounds(self, after: int, service: str | None = None) -> Sequence[tuple[int, int]]:
        """Distinct (round, longest interval in ms) greater than `after`, ascending."""

    async def measurement(self, id: str) -> tuple[Stored, bytes] | None:
        """One measurement and its line as sent."""


class Conclusions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the detector says about one service after folding up to `round`."""

    service: str
    round: int
    state: bytes
    """The detector's own encoding."""
    checkpoints: tuple[tuple[int, bytes], ...] = ()
    """(round, state) to keep."""
    refolded_after: int | None = None
    """When late facts made it refold: verdicts, checkpoints and event rows that were changed
    after this round are replaced."""
    events: tuple[Event, ...] = ()
    """Events touched, in their newest form."""
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    """(measurement id, verdict)."""
    journal: tuple[tuple[str, str], ...] = ()
    """(event id, transition) as first published; never rewritten, so counters never fall."""


class ConclusionStore(Protocol):
    """States, checkpoints, events, verdicts, the detector's cursor."""

    async def load(self, service: str) -> tuple[int, bytes] | None:
        """Last folded round and state of a service."""

    async def checkpoint(self, service: str, before: int) -> tuple[int, bytes] | None:
        """Newest checkpoint of a round earlier than `before`."""

    async def save(self, conclusions: Sequence[Conclusions], cursor: int) -> None:
        """Replace what was concluded, and remember the arrival cursor: one transaction."""

    async def cursor(self) -> int:
        """The arrival number up to which facts have been folded; 0 at first."""

    async def clear(self) -> None:
        """Forget all conclusions and the cursor; facts and the journal stay."""

    async def lead(self, holder: str, seconds: int, now: int) -> bool:
        """Take or renew the detector's lease; False while another holder's is fresh."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolled probe."""

    id: str
    owner: str
    role: str
    enrolled: int
    revoked: int | None = None
    country: str = "ZZ"
    asn: int = 0
    last_seen: int | None = None
    status: bytes = b""
    """Last status message as sent."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time (or few-times) right to enrol. The secret is kept only as SHA-256."""

    id: str
    secret_sha256: str
    role: str
    owner: str
    uses_left: int
    expires: int
    created: int
    revoked: int | None = None


class Registry(Protocol):
    """Tokens and probes."""

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""

    async def tokens(self) -> Sequence[Token]:
        """All tokens, newest first."""

    async def revoke_token(self, id: str, now: int) -> bool:
        """False when there is no such token."""

    async def enrol(
        self, token_id: str, secret_sha256: str, probe: Probe, secret_hash: str, now: int
    ) -> Token | None:
        """Use the token once and keep the probe with the hash of its MQTT secret, atomically;
        the token's role and owner go to the probe. None when the token is unknown, wrong, used
        up, expired or revoked."""

    async def probe(self, id: str) -> Probe | None:
        """One probe."""

    async def probes(self) -> Sequence[Probe]:
        """All probes, newest first."""

    async def secret_hash(self, probe: str) -> str | None:
        """Hash of the MQTT secret of a probe that is not revoked."""

    async def revoke_probe(self, id: str, now: int) -> bool:
        """False when there is no such probe."""

    async def saw(
        self,
        probe: str,
        at: int,
        status: bytes | None = None,
        country: str | None = None,
        asn: int | None = None,
    ) -> None:
        """Remember when a probe was last heard, and what it said."""
