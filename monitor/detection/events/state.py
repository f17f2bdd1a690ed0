# SPDX-License-Identifier: Apache-2.0
"""The detector's state of one service, and its canonical bytes.

Integers, words and bytes only: no float, no clock, no time of arrival. A vantage without failures
takes a few numbers; a suspicion is created when it begins and dropped when it ends. Structs are
written as arrays and compressed, so that a state is small. Dictionaries are written in key order,
so that equal states have equal bytes. The most frequent structs are `gc=False`: they are never part
of a cycle, and the garbage collector need not visit them.
"""

from __future__ import annotations

from copy import copy
from enum import IntEnum, StrEnum
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from monitor.detection.events.life import SURENESS, Stage
from monitor.detection.model import NO_CONTRASTS, Contrasts, Event, NetworkEvidence, StandIn, Tier
from monitor.detection.observed.page_in_place import OTHER, SAME
from probes.runtime.compression import zstd

_Value = TypeVar("_Value")
STATE_VERSION = 1
"""States of another version are not read: the history is folded again."""
_LEVEL = 3
FAILS = "fails"
_LIKELY, _CONFIRMED = SURENESS.index(Stage.LIKELY), SURENESS.index(Stage.CONFIRMED)


class Baseline(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How often one vantage fails one layer under normal conditions. The counts of each hour are
    kept as bytes (`monitor.detection.events.baseline`): as objects they took most of the memory.
    """

    total: int = 0
    failed: int = 0
    """Samples of the window, which are older than the lag."""
    recent_total: int = 0
    recent_failed: int = 0
    """Samples that are younger than the lag, and so not in the window yet."""
    hour: int = -1
    """Number of the newest hour since 1970."""
    hours: bytes = b""
    """The recent hours before it."""
    stretches: bytes = b""
    """The window, in longer stretches."""


class Suspicion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The evidence of one vantage against one layer, since its CUSUM path last left zero."""

    sums: tuple[int, ...]
    """Micro-nats, one per member of the bank."""
    onsets: tuple[int, ...]
    """Round at which each member last left zero; 0 while it is there."""
    befores: tuple[int, ...]
    """Last round that had worked by then; 0 when none had."""
    techniques: dict[str, int] = {}
    """Micro-nats by technique, halved from time to time so that recent ones count most."""
    rules: dict[str, int] = {}
    witnesses: tuple[tuple[int, int, str], ...] = ()
    """(round, started, measurement id) of the first failures."""
    signatures: int = 0
    """Failures with a signature (`monitor.detection.rule`)."""
    whole: int = 0
    part: int = 0
    """Failures of the whole target and of a part of it, halved together."""
    alarmed: int = 0
    """Round at which it became part of an event; 0 before."""
    hits: int = 0
    misses: int = 0
    """Failures, and successes that a failure followed: the share of failures during the block."""
    recovery: int = 0
    """CUSUM of the other direction, micro-nats."""
    pending: int = 0
    """Successes since the recovery left zero."""
    good_since: int = 0
    good_rounds: int = 0
    good_last: int = 0
    heard: int = 0
    """When its newest failure arrived, Unix ms."""
    others: dict[str, int] = {}
    """Failures beside which a liveness host failed as well, by host
    (`monitor.detection.events.other_hosts`)."""
    runs: tuple[tuple[int, int, int], ...] = ()
    """Failures since each member last left zero: (all, with a signature, whatever the name)."""
    contrasts: Contrasts = NO_CONTRASTS
    """What tells the cause of its failures."""
    passed: tuple[int, ...] = ()
    """Successes since each member last left zero."""
    block: tuple[int, int] = (0, 0)
    """Failures and successes since the block began, once it is alarmed: `hits` and `misses` reach
    back to natural failures before that."""
    stand_in: StandIn | None = None
    """What stood in for a control (`monitor.detection.events.stand_in`)."""


class Track(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One vantage in one series."""

    baseline: Baseline
    last_good: int = 0
    last_bad: int = 0
    suspicion: Suspicion | None = None


class EndEvidence(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The evidence of all vantages together that the block of a series has ended, since it last was
    none (`monitor.detection.events.ending`)."""

    nats: dict[str, int] = {}
    """Micro-nats by vantage, negative where failures weigh more."""
    since: int = 0
    last: int = 0
    """Rounds of its first and its newest success."""
    failed: int = 0
    passed: int = 0
    """Failures and successes of the vantages that saw the block, before and since."""


class PresentShare(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the vantages that saw the block of a series have seen since it began to let connections
    pass: whether it is weaker now, or over (`monitor.detection.events.ending`)."""

    failed: int = 0
    passed: int = 0
    in_a_row: int = 0
    """Failures since the latest success."""
    nats: int = 0
    """Micro-nats for an end, against any share of failures."""


class Series(msgspec.Struct, array_like=True, frozen=True):
    """One layer of one target in one network."""

    tracks: dict[str, Track] = {}
    likely_since: int = 0
    """Round since which the quorum has held without a break; 0 when it does not hold."""
    known_since: int = 0
    """When the failures of enough owners for the quorum had arrived; 0 when it does not hold."""
    rank: int = 0
    """How sure it is, and has been since its alarm: its place in `life.SURENESS`."""
    retracted: int = 0
    """Round at which the failures before it were retracted by an operator; 0 if never."""
    ending: EndEvidence | None = None
    """None while nothing says that its block has ended."""
    present: PresentShare | None = None
    """None while its block lets nothing pass."""

    @property
    def is_likely(self) -> bool:
        """Whether it is at least likely."""
        return self.rank >= _LIKELY

    @property
    def is_confirmed(self) -> bool:
        """Whether it is confirmed."""
        return self.rank >= _CONFIRMED

    @property
    def is_retracted(self) -> bool:
        """Whether failures last that an operator retracted: no event counts them."""
        return self.retracted > 0 and any(
            track.suspicion is not None and 0 < track.suspicion.alarmed < self.retracted
            for track in self.tracks.values()
        )


class VantageOutcome(StrEnum):
    """The latest result of a vantage on a target, as the gates count it."""

    GOOD = "good"
    """It reaches the target."""
    BAD = "bad"
    """It fails, and the control and the liveness say that this counts."""
    UNTOLD = "untold"
    """It fails, the control reaches it, and nothing tells the cause: no evidence of a block."""
    UNSUPPORTED = "unsupported"
    """It fails, and there is no control."""
    DOWN = "down"
    """It fails, and so does the control."""
    OFFLINE = "offline"
    """Its liveness says that it was offline, or it is behind a sign-in page."""
    UNSEEN = "unseen"
    """It fails, and whether the vantage was online is not known."""
    UNKNOWN = "unknown"
    """It fails, and neither liveness nor a control is known: whichever is worse is assumed."""
    SILENT = ""
    """Nothing is known: too few observations, or the vantage itself is at fault."""


class PathSign(IntEnum):
    """What a failure says of where its cause is, the surest sign."""

    NONE = 0
    ANSWERED = 1
    """Its addresses answered elsewhere at the same time. Another machine may have."""
    ON_THE_WAY = 2
    """It shows that the cause is not the service."""


class Member(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The latest report of a vantage on one target."""

    owner: str
    enrolled: int
    interval: int
    round: int
    outcome: VantageOutcome
    failed_at: int = 0
    failed_depth: int = -1
    """When and at which layer's depth it last failed: a shallower failure soon after is an echo."""
    usual: dict[str, int] = {}
    """Per mille of the rounds in which it reached the target and not this liveness host."""
    shared: int = 0
    """Of its failures since it last reached the target: 0 if there are none, -1 if the first was
    its network's own, else the round of the newest that its control or other countries shared."""
    hours: int = (1 << 48) - 1
    """At which hours of the day it usually measures (`monitor.detection.events.usual_hours`)."""
    release: str = ""
    """Version of the program that it runs."""
    failing: int = 0
    """Round since which it has not reached the target; 0 when it reached it last."""
    cause: PathSign = PathSign.NONE
    """What its newest failure says of where the cause is."""


class ImportedRuns(msgspec.Struct, array_like=True, frozen=True):
    """What is remembered of the imported runs of one target in one network, beside the track
    (`monitor.detection.events.imported.memory`). Times are rounds."""

    methods: dict[str, tuple[int, int, int]] = {}
    """By test and version: (last success, last failure, last failure that a gate did not let
    count)."""
    spans: tuple[tuple[int, int, int], ...] = ()
    """As in `NetworkEvidence`, since the suspicion began."""
    again: tuple[int, int] = (0, 0)
    """Successes since the last failure: (the first of them, how many)."""
    together: tuple[int, int] = (0, 0)
    """Runs in hours in which other networks of an open event failed: (failures, successes)."""
    since: dict[str, int] = {}
    """By test and version that fails: its first failure since its last success."""
    helped: tuple[int, int] = (0, 0)
    """Failures since the suspicion began: (those beside which OONI's helper reached the site and
    the device was online, all)."""
    latest: bytes = b""
    """The latest outcomes, a byte each (1: it failed), without runs in which nothing answered."""
    reached: dict[str, int] = {}
    """By layer: the newest run that worked and passed it."""
    other_page: tuple[str, int, int] = ("", 0, 0)
    """The latest page that came in place of the site's: (mark, first round, last round)."""
    right_page: int = 0
    """Round of the newest run that got the site's page in clear text."""


class TargetNetwork(msgspec.Struct, array_like=True):
    """One target in one network of one country, by one kind of source."""

    target: str
    country: str
    asn: int
    source: str
    members: dict[str, Member] = {}
    layers: dict[str, Series] = {}
    inhibited_until: int = 0
    """The service failed in other countries; the gate stays closed until this round."""
    runs: ImportedRuns | None = None
    """None for our own vantages."""


class PeakSnapshot(msgspec.Struct, array_like=True, frozen=True):
    """The evidence of an event when most vantages agreed. A closed event shows this, because at its
    end no vantage sees the block any more."""

    tier: Tier
    agreeing: int
    total: int
    networks: tuple[NetworkEvidence, ...]
    against: tuple[str, ...]


class OpenEvent(msgspec.Struct, array_like=True, frozen=True):
    """An ongoing event, and what its next update needs in addition to the series."""

    event: Event
    doubts: int = 0
    """Consecutive rounds that spoke against it."""
    rules: dict[str, int] = {}
    """Rule counts of series whose block has ended."""
    witnesses: tuple[tuple[int, int, str], ...] = ()
    peak: PeakSnapshot | None = None
    """The latest round of its present tier with the most agreeing vantages; None for imports."""


class NetworkSign(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What imported runs of a target show in a network, for the folds of other services
    (`monitor.detection.events.imported.neighbours`)."""

    target: str
    country: str
    asn: int
    source: str
    technique: str
    blocks: bool
    """Whether it is blocked there."""
    since: int
    until: int
    """In the hours from one until before the other, Unix milliseconds."""
    fails: bool = False
    """Whether it fails there without an answer, as in an outage of the network. It is reached when
    this and `blocks` are false."""
    worked: int = 0
    failing: int = 0
    """Of a failure: the last round before it that had worked, and its first."""
    page: str = ""
    """What a request in clear text got there, as in `Verdict`, since the round `failing`. Such a
    sign tells nothing of a block."""

    @property
    def about(self) -> str:
        """What it is told of: signs about different things do not replace each other."""
        return FAILS if self.fails else self.page and (SAME if self.page == SAME else OTHER)


class ServiceState(msgspec.Struct):
    """The state of the detector for one service."""

    service: str
    version: int = STATE_VERSION
    round: int = -1
    """Last folded round."""
    swept: int = 0
    """Round at which vantages that no longer report were last removed."""
    networks: dict[str, TargetNetwork] = {}
    open_events: dict[str, OpenEvent] = {}
    """Open events by `country source`."""
    told: tuple[NetworkSign, ...] = ()
    """What it has told the folds of other services."""
    heard: tuple[NetworkSign, ...] = ()
    """What they told it, for the last folded round."""


class DetectorStateError(Exception):
    """Bytes of a state that this version cannot read: the history must be folded again."""


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(ServiceState)


def encode(state: ServiceState) -> bytes:
    """Return the canonical bytes of a state."""
    return packed(state)


def decode(raw: bytes) -> ServiceState:
    """Return the state in bytes of `encode`. Raises DetectorStateError."""
    state = unpacked(raw, _decoder)
    if state.version != STATE_VERSION:
        raise DetectorStateError(
            f"detector state: version {state.version}, this is {STATE_VERSION}"
        )
    return state


def packed(value: msgspec.Struct) -> bytes:
    """Return the canonical bytes of a value of this file or of one that holds them."""
    return zstd.compress(_encoder.encode(value), _LEVEL)


def unpacked(raw: bytes, decoder: msgspec.msgpack.Decoder[_Value]) -> _Value:
    """Return the value in bytes of `packed`. Raises DetectorStateError."""
    try:
        return decoder.decode(zstd.decompress(raw))
    except (msgspec.DecodeError, zstd.ZstdError, KeyError, ValueError) as error:
        raise DetectorStateError(f"detector state: {error}") from None


def changeable(state: ServiceState, key: str) -> TargetNetwork:
    """A network of a state as the present round may change it: a copy, put in its place.

    A network and its dictionaries of members, layers and tracks are all that a round changes;
    what they hold is replaced, and what did not report stays shared with the state before. A copy
    for each fact instead would cost the square of the number of vantages."""
    network = copy(state.networks[key])
    network.members = dict(network.members)
    network.layers = {
        name: replace(series, tracks=dict(series.tracks)) for name, series in network.layers.items()
    }
    state.networks[key] = network
    return network


def network_key(target: str, country: str, asn: int, source: str) -> str:
    """The key of a network in a state."""
    return f"{target} {country} {asn} {source}"
