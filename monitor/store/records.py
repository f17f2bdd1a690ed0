# SPDX-License-Identifier: Apache-2.0
"""The values that go into the store and come out of it, and its one error."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from monitor.detection.events.explain import RoundEvidence
from monitor.detection.model import Event, Fact, Stored
from probes.wire.codec import Envelope
from probes.wire.measurement import Role


class StoreUnavailableError(Exception):
    """The store cannot be reached, is locked or is full; the text gives the reason in one line.

    The caller waits and tries again.
    """


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded measurement to store, with its line: what an import has."""

    stored: Stored
    line: bytes
    """The JSON line as sent: never re-serialised."""
    received: int
    """Unix milliseconds."""


class AdmittedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it arrived, and which of its lines passed admission."""

    payload: bytes
    """As sent: `probes.wire.codec.decode_batch` gives its lines."""
    lines: int
    """How many lines it has."""
    entries: tuple[tuple[int, Envelope], ...]
    """(place, envelope) of each admitted line, in ascending order; places begin at 0."""
    owner: str
    role: str
    enrolled: int
    source: str = "probe"
    received: int
    """Unix milliseconds."""


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that were not admitted, kept within limits for inspection."""

    probe: str
    reason: str
    """One of a closed list (`monitor.collector.admission.QuarantineReason`)."""
    detail: str
    payload: bytes
    received: int
    envelope: Envelope | None = None
    """None if it is no measurement, or none of an enrolled probe."""


class Added(msgspec.Struct, frozen=True):
    """The outcome of one `FactStore.add`."""

    new: int
    duplicate: int
    conflicting: int
    """Same id, other bytes: the first stays, the other goes to quarantine."""
    expired: int = 0
    """Of rounds that were dropped: not stored, and not stored again."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a stored measurement without reading its line."""

    probe: str
    role: Role
    country: str
    asn: int
    target: str
    round: int
    interval_ms: int


class StoredRound(NamedTuple):
    """A round of which there are measurements."""

    round: int
    interval: int
    """The longest, Unix ms."""
    measurements: int


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What was stored after an arrival number."""

    last: int
    """Number of the newest arrival."""
    earliest: tuple[tuple[str, int], ...]
    """(target, earliest round) of what arrived."""
    recent: tuple[Arrived, ...]
    """What arrived of recent rounds."""


DETAILS = "details"
"""How the journal names an event as pages showed it between two transitions, before what makes the
name unique. Nothing is published by it."""


class Conclusions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the detector concluded about one service after folding up to `round`."""

    service: str
    round: int
    state: bytes
    """The detector's own encoding, of the whole state or of what changed since the last save."""
    is_whole: bool = True
    arrival: int = 0
    """Measurements that arrived up to this number are in the state, as far as their rounds are."""
    late: int | None = None
    """But not those of rounds from this one on that came after their round was folded."""
    checkpoints: tuple[tuple[int, bytes], ...] = ()
    """(round, state) to keep."""
    refolded_after: int | None = None
    """Set after a refold for late facts: verdicts, evidence, checkpoints and event rows of later
    rounds are replaced."""
    events: tuple[Event, ...] = ()
    """Events touched, in their newest form."""
    facts: tuple[Fact, ...] = ()
    """What was judged; their verdicts are saved."""
    evidence: tuple[RoundEvidence, ...] = ()
    """What vantages with evidence had after each round."""
    journal: tuple[tuple[str, str], ...] = ()
    """(event id, transition) as first published; never rewritten, so counters never decrease."""


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
    seen_country: str = ""
    """From which country and network (`seen_asn`) it enrolled, by the monitor's own table; empty
    and 0 when nobody knows, or when an operator believes what the probe says."""
    seen_asn: int = 0
    vouched: bool = False
    """Whether the operator vouches for its owner: then it counts as known for long."""
    connected_country: str = ""
    """From which country and network (`connected_asn`) it connected last, by the monitor's own
    table; empty and 0 when nobody knows."""
    connected_asn: int = 0

    @property
    def connects_elsewhere(self) -> bool:
        """Whether it last connected from another country or network than it claims."""
        return (
            self.last_seen is not None
            and bool(self.connected_country)
            and (self.connected_country, self.connected_asn) != (self.country, self.asn)
        )

    def is_elsewhere(self, country: str, asn: int) -> bool:
        """Whether it claims another country or network than it enrolled from."""
        return (self.seen_country not in ("", country)) or (self.seen_asn not in (0, asn))


class ProbeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a probe signs its batches with, or did."""

    probe: str
    id: str
    public_key: str
    """Ed25519, hex."""
    since: int
    """When it was given to the monitor, Unix milliseconds."""
    revoked: int | None = None
    """When it was renewed or revoked."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """That a probe sent something, and what it said of itself; None where it said nothing."""

    probe: str
    at: int
    """Unix milliseconds."""
    status: bytes | None = None
    country: str | None = None
    asn: int | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A right to enrol once or a few times. The secret is stored as SHA-256 only."""

    id: str
    secret_sha256: str
    role: str
    owner: str
    uses_left: int
    expires: int
    created: int
    revoked: int | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What the lists filter by; None accepts everything."""

    service: str | None = None
    target: str | None = None
    country: str | None = None
    asn: int | None = None
    since: int | None = None
    until: int | None = None
    targets: tuple[str, ...] = ()
    """Any of these; none accepts everything. Lists of measurements alone look at it."""
    asns: tuple[int, ...] = ()
    """The same of networks."""
    source: str | None = None
    """Who measured: `probe` for our own. Lists of events and of measurements look at it."""
    state: str | None = None
    technique: str | None = None
    rule: str | None = None
    counted: bool | None = None
    """Whether it is evidence of how reachable the target is. This and the three before are of a
    verdict: lists of measurements alone look at them."""

    @property
    def of_verdict(self) -> bool:
        """Whether it chooses by what the verdicts say."""
        words = (self.state, self.technique, self.rule, self.counted)
        return any(word is not None for word in words)

    @property
    def of_body(self) -> bool:
        """Whether it chooses events by what their body alone tells, and no column."""
        return any(word is not None for word in (self.target, self.asn, self.source))

    def holds_in_body(self, event: Event) -> bool:
        """Whether an event is one of its target, network and source."""
        return (
            (self.target is None or self.target in event.targets)
            and (self.asn is None or self.asn in event.asns)
            and self.source in (None, event.source)
        )
