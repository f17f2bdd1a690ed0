# SPDX-License-Identifier: Apache-2.0
"""Why the detector opened an event: per round, what each vantage of a network added, and which
gates were closed. Pure: it looks at the states before and after a round, and changes neither.

A round tells of a series when it added evidence, or when there is enough for anything to be
decided: isolated failures, which are forgotten slowly, would be most of what is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from monitor.detection.events import cusum, gates, quorum, stand_in
from monitor.detection.events.life import PUBLISHED, TIERS
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import (
    Member,
    Series,
    ServiceState,
    TargetNetwork,
    Track,
    VantageOutcome,
    network_key,
)
from monitor.detection.lateness import timely
from monitor.detection.model import NEVER, ClosedGate, Event, Fact
from monitor.detection.policy import Policy
from probes.runtime.compression import zstd

NO_VOTE = ("young", "elsewhere", "unlocated", "chronic", "lone", "silent", "recovering")
"""Why a vantage's evidence does not count: too young, enrolled from another place than it claims,
without a place, fails too often anyway, without agreement for long, not heard lately, halfway to
its recovery."""


STOOD_IN = "stood_in"
"""The outcome of a failure without a control that counts: runs of others stood in for one."""


class VantageEvidence(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One vantage in one series and round."""

    probe: str
    owner: str
    outcome: str
    """`failed`, `worked`, `untold` (nothing tells the cause), `unproven` (no control, or it failed
    too), STOOD_IN, `offline`, `unseen` (no liveness), or empty when it said nothing then."""
    rule: str = ""
    """The rule that decided its measurement."""
    technique: str = ""
    measurement: str = ""
    added: int = 0
    """Evidence that this round added or removed, micro-nats."""
    holds: int = 0
    """Evidence after the round, micro-nats, clipped."""
    no_vote: str = ""
    """One of NO_VOTE, or empty: then it counts."""


class SeriesRound(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One series (network, target, layer) in one round."""

    round: int
    asn: int
    target: str
    layer: str
    vantages: tuple[VantageEvidence, ...]
    """By probe: who measured or has evidence, MOST_VANTAGES at most."""
    others: int = 0
    """How many more there are, with no more evidence than these."""
    others_hold: int = 0
    """Evidence of those of them that count, micro-nats."""
    holds: int
    """Evidence of all vantages that count, micro-nats, after the limit on one owner's vantages."""
    needs: int
    """Evidence that the quorum needs, micro-nats."""
    gate: ClosedGate | None = None
    """Why failures of this round did not count; None when the gates were open."""
    tier: str = ""
    """The series' own tier after the round; empty before there is one."""
    likely_since: int = 0
    divided: tuple[str, ...] = ()
    """Vantages that count as a blocked part of the network: with them `likely` needs no quorum, and
    nothing is confirmed."""


class RoundEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector keeps of one round in one country, so that an event can be explained
    without folding its measurements again."""

    country: str
    source: str
    round: int
    decided: bool
    """An event there opened, rose or ended in this round."""
    body: bytes
    """Every series that it tells of (`unpack`)."""


Place = tuple[str, str]
"""Country and source: of each an event has its own."""
MOST_VANTAGES = 50
"""Vantages of a series that are listed, those with the most evidence: the others are counted."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[SeriesRound, ...])
_LEVEL = 3


def pack(series_rounds: Sequence[SeriesRound]) -> bytes:
    """`RoundEvidence.body` of these series."""
    return zstd.compress(_encoder.encode(series_rounds), _LEVEL)


def unpack(body: bytes) -> tuple[SeriesRound, ...]:
    """The series in `RoundEvidence.body`, in order of networks, targets and layers."""
    return _decoder.decode(zstd.decompress(body))


def round_evidence(
    before: ServiceState,
    after: ServiceState,
    round: int,
    facts: Sequence[Fact],
    closed: Mapping[str, ClosedGate],
    changed: Iterable[Event],
    policy: Policy,
) -> list[RoundEvidence]:
    """What to keep of a round that was just folded; `changed`: the events that it changed."""
    by_place = series_rounds(before, after, round, facts, closed, policy)
    decided = {
        (event.country, event.source)
        for event in changed
        if any(change.round == round and change.kind in PUBLISHED for change in event.history)
    }
    return [
        RoundEvidence(
            country=place[0],
            source=place[1],
            round=round,
            decided=place in decided,
            body=pack(by_place.get(place, ())),
        )
        for place in sorted(by_place.keys() | decided)
    ]


def series_rounds(
    before: ServiceState,
    after: ServiceState,
    round: int,
    facts: Sequence[Fact],
    closed: Mapping[str, ClosedGate],
    policy: Policy,
) -> dict[Place, list[SeriesRound]]:
    """The series that a round tells of, in the networks that reported in it, by country and source;
    `before` and `after`: the states around it, `closed`: its closed gates by key of a network."""
    by_network: dict[tuple[int, str, str, str], list[Fact]] = defaultdict(list)
    for fact in timely(facts, policy):
        by_network[fact.asn, fact.target, fact.country, fact.source].append(fact)
    by_place: dict[Place, list[SeriesRound]] = {}
    for (asn, target, country, source), measured in sorted(by_network.items(), key=itemgetter(0)):
        key = network_key(target, country, asn, source)
        if (network := after.networks.get(key)) is None:
            continue  # liveness
        strategy = strategy_of(source)
        layers = [
            layer for layer, series in network.layers.items() if _is_told(series, round, policy)
        ]
        if not layers:
            continue
        latest = {
            strategy.probe_of(fact): fact
            for fact in sorted(measured, key=lambda fact: (fact.started, fact.id))
        }
        old = before.networks.get(key)
        by_place.setdefault((country, source), []).extend(
            _series_round(
                network,
                layer,
                None if old is None else old.layers.get(layer),
                round,
                latest,
                closed.get(key),
                policy,
            )
            for layer in sorted(layers)
        )
    return by_place


def _is_told(series: Series, round: int, policy: Policy) -> bool:
    failed = [track.last_bad for track in series.tracks.values() if track.suspicion is not None]
    return bool(failed) and (round in failed or quorum.may_rise(series, policy))


def concerns(event: Event, series_round: SeriesRound) -> bool:
    """Whether a series of the event's country and source is one of the event's."""
    return series_round.asn in event.asns and series_round.target in event.targets


def _series_round(
    network: TargetNetwork,
    layer: str,
    earlier: Series | None,
    round: int,
    facts: Mapping[str, Fact],
    gate: ClosedGate | None,
    policy: Policy,
) -> SeriesRound:
    series = network.layers[layer]
    strategy = strategy_of(network.source)
    tally = strategy.tally(network, layer, round, policy)
    vantages = []
    for probe, track in series.tracks.items():
        holds, fact = strategy.evidence(track, policy), facts.get(probe)
        had = None if earlier is None else earlier.tracks.get(probe)
        added = holds - (0 if had is None else strategy.evidence(had, policy))
        if fact is None and not holds and not added:
            continue
        member = network.members[probe]
        vantages.append(
            VantageEvidence(
                probe=probe,
                owner=member.owner,
                outcome="" if fact is None else _outcome_of(fact, network.source, had, track),
                rule="" if fact is None else fact.verdict.rule,
                technique="" if fact is None else str(fact.verdict.technique or ""),
                measurement="" if fact is None else fact.id,
                added=added,
                holds=holds,
                no_vote=no_vote(network, member, series, track, round, policy),
            )
        )
    vantages.sort(key=lambda vantage: (-vantage.holds, vantage.probe))
    listed, others = vantages[:MOST_VANTAGES], vantages[MOST_VANTAGES:]
    tier = TIERS[series.rank]
    return SeriesRound(
        round=round,
        asn=network.asn,
        target=network.target,
        layer=layer,
        vantages=tuple(sorted(listed, key=lambda vantage: vantage.probe)),
        others=len(others),
        others_hold=sum(vantage.holds for vantage in others if not vantage.no_vote),
        holds=tally.holds,
        needs=tally.needs,
        gate=gate,
        tier="" if tier is None else tier.value,
        likely_since=series.likely_since,
        divided=tally.divided,
    )


def _outcome_of(fact: Fact, source: str, before: Track | None, track: Track) -> str:
    """The outcome of a vantage's fact in words of VantageEvidence."""
    outcome = strategy_of(source).outcome(fact)
    if outcome is VantageOutcome.UNSUPPORTED and track.last_bad == fact.round:
        earlier = None if before is None else before.suspicion
        if stand_in.counted(track.suspicion) > stand_in.counted(earlier):
            return STOOD_IN
    return _OUTCOMES.get(outcome, "")


_OUTCOMES = {
    VantageOutcome.GOOD: "worked",
    VantageOutcome.BAD: "failed",
    VantageOutcome.UNTOLD: "untold",
    VantageOutcome.UNSUPPORTED: "unproven",
    VantageOutcome.DOWN: "unproven",
    VantageOutcome.OFFLINE: "offline",
    VantageOutcome.UNSEEN: "unseen",
    VantageOutcome.UNKNOWN: "unproven",
}


def no_vote(
    network: TargetNetwork,
    member: Member,
    series: Series,
    track: Track,
    round: int,
    policy: Policy,
) -> str:
    """Why a vantage's evidence does not count, one of NO_VOTE; empty when it does."""
    if not gates.reports(member, track, round, policy):
        return "silent"
    if not gates.eligible(network, member, round, policy):
        if not gates.is_located(network):
            return "unlocated"
        return "elsewhere" if member.enrolled == NEVER else "young"
    if not gates.may_vote(network, member, track, round, policy):
        return "chronic"
    if gates.uncorroborated(series, track, round, policy):
        return "lone"
    return "recovering" if cusum.recovering(track, policy) else ""
