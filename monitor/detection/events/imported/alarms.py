# SPDX-License-Identifier: Apache-2.0
"""When an imported network is alarmed, when a block there is likely, and when it has ended.

An alarm needs much more evidence than that of one of our vantages (at least four failing runs in a
row), because no other vantage can agree, and a history of the target working there. `likely` needs
another network that has reached the same target since the onset, or OONI's helper that reached it
beside the failures. Without either the service may be down, or have left its endpoints behind: the
event stays `unconfirmed` unless something answered in the place of several functions of the service
for longer than outages last. A block that is on for some hours of each day is one block: it ends
after days without failures.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from monitor.detection.events import baseline, cusum, quorum
from monitor.detection.events.cusum import AlarmEvidence
from monitor.detection.events.imported import elsewhere, memory, moving, neighbours
from monitor.detection.events.imported.suspicions import (
    PooledEvidence,
    alarmed,
    densest,
    pooled,
    runs_that_worked,
    shows_interference,
    suspected,
    usually_works,
)
from monitor.detection.events.life import SeriesEvidence
from monitor.detection.events.quorum import Tally
from monitor.detection.events.state import (
    NetworkSign,
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
)
from monitor.detection.model import Event, Technique
from monitor.detection.policy import ImportedPolicy, Policy

_CERTIFICATE = "tls.mitm"


class Company(NamedTuple):
    """What others say that bears on the alarm of a network."""

    joins: bool
    """It fails in the hours of a known block in other networks."""
    pooled: PooledEvidence = PooledEvidence()
    """Evidence of another network of the country."""
    always: bool = False
    """Nearly every run fails here, and elsewhere they work."""
    worked: int = 0
    """Runs of all functions of the service that worked here."""
    beside: bool = False
    """Another service is blocked in the network in the same hours."""

    def needs(self, policy: Policy) -> int:
        """Micro-nats that the network needs itself."""
        imported = policy.imported
        if self.joins:
            return policy.evidence.threshold_micronats
        alone = imported.imported_micronats
        if self.beside:
            alone -= imported.imported_beside_micronats
        if not self.pooled.nats:
            return alone
        rest = imported.imported_pooled_micronats - self.pooled.nats
        return min(alone, max(imported.imported_pooled_least, rest))

    def of_unusual(self) -> Company:
        """What counts where the target does not usually work: it may fail for its own reasons."""
        return self._replace(pooled=PooledEvidence(), beside=False)

    def tells_enough(self, policy: Policy) -> bool:
        """Whether half a history is enough beside what is known of other functions or services."""
        return self.beside or self.worked > policy.imported.imported_history


def _company(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> Company:
    return Company(
        joins=memory.fails_together(network.runs, policy.imported),
        pooled=pooled(state, network, round, policy),
        always=elsewhere.fails_here_alone(state, network, round, policy),
        worked=sum(
            runs_that_worked(track.baseline)
            for other in state.networks.values()
            if (other.source, other.country, other.asn)
            == (network.source, network.country, network.asn)
            for series in other.layers.values()
            for track in series.tracks.values()
        ),
        beside=_block_beside(state, network, policy) is not None,
    )


def _block_beside(
    state: ServiceState, network: TargetNetwork, policy: Policy
) -> NetworkSign | None:
    if not state.heard:
        return None
    techniques = [cusum.technique_of(held) for held in suspected(network)]
    return neighbours.blocked_beside(state, network, techniques, policy)


def rests_on_neighbour(state: ServiceState, network: TargetNetwork, policy: Policy) -> bool:
    """Whether an alarm would not be one without the block of another service beside it."""
    if _block_beside(state, network, policy) is None:
        return False
    company = _company(state, network, state.round, policy)._replace(beside=False)
    return all(_lacking(track, held, company, policy) for track, held in alarmed(network))


def weigh(
    state: ServiceState,
    network: TargetNetwork,
    layer: str,
    round: int,
    inhibited: bool,
    policy: Policy,
) -> SeriesEvidence:
    """Raise the alarm of a series whose evidence is enough; return what it shows."""
    series, agreeing, supported = network.layers[layer], 0, False
    for probe, track in list(series.tracks.items()):
        held = track.suspicion
        # A success raises no alarm, whatever evidence is left.
        if held is None or inhibited or track.last_bad != round:
            continue
        if max(held.sums) < _needs_least(policy):
            continue  # most failures are single ones: nobody else need be looked at
        company = _company(state, network, round, policy)
        if _lacking(track, held, company, policy):
            continue
        onset = held.onsets[densest(held)]
        sure = elsewhere.reached_since(state, network, onset, policy)
        if not sure and cusum.technique_of(held).startswith(_CERTIFICATE):
            continue  # a root that the run's software did not know yet looks the same
        if not held.alarmed:
            # What joins a block did not begin before it: an older failure is another matter.
            first = _first_span(state, network) if company.joins else 0
            onsets = tuple(max(left, first) for left in held.onsets)
            if company.always and not held.befores[densest(held)]:
                # It never worked: it has failed for as long as the network is known.
                began = min(network.runs.since.values(), default=onset) if network.runs else onset
                onsets = tuple(min(left, began) for left in onsets)
            raised = replace(held, alarmed=round, onsets=onsets)
            series.tracks[probe] = replace(track, suspicion=raised)
        agreeing += 1
        works = sure or _works_elsewhere(state, network, held, round, policy)
        if works and not _may_be_the_network(state, network, held, round, policy):
            supported |= not moving.followers(state, network, held, round, policy).moves
    return SeriesEvidence(gate_closed=inhibited, agreeing=agreeing, quorum=supported)


def _may_be_the_network(
    state: ServiceState, network: TargetNetwork, held: Suspicion, round: int, policy: Policy
) -> bool:
    """Whether the network itself rather has a fault, or clients that the service does not want."""
    return (
        refused_alone(state, network, held, policy)
        or neighbours.is_too_early(held, round, policy)
        or neighbours.fails_with_others(state, network, held, policy)
    )


def refused_alone(
    state: ServiceState, network: TargetNetwork, held: Suspicion, policy: Policy
) -> bool:
    """Whether connections are refused in one network of its country alone: a service that refuses
    the clients of a network, for what some of them did, looks like a block by its operator."""
    least = policy.imported.imported_pooled_least
    return cusum.technique_of(held) == Technique.TCP_REFUSED and not any(
        max(other_held.sums) >= least
        for other in state.networks.values()
        if (other.source, other.country) == (network.source, network.country)
        and other.asn != network.asn
        for other_held in suspected(other)
    )


def _needs_least(policy: Policy) -> int:
    """Micro-nats without which nothing that others say makes an alarm (`Company.needs`)."""
    return min(policy.evidence.threshold_micronats, policy.imported.imported_pooled_least)


def _works_elsewhere(
    state: ServiceState, network: TargetNetwork, held: Suspicion, round: int, policy: Policy
) -> bool:
    """Whether the service works, where no other network says so: OONI's helper reaches it, or
    something has answered in its place for longer than outages last."""
    return memory.helper_reaches(network.runs, policy.imported) or (
        shows_interference(held)
        and _outlasts_outages(state, network, held.onsets[densest(held)], round, policy)
    )


def alarm_evidence(
    state: ServiceState, network: TargetNetwork, layer: str, probe: str, policy: Policy
) -> AlarmEvidence:
    """What the runs of a network have of what an alarm needs, in the state's round."""
    track = network.layers[layer].tracks[probe]
    company = _company(state, network, state.round, policy)
    if (held := track.suspicion) is None:
        return AlarmEvidence(0, company.needs(policy), "evidence")
    lacks = _lacking(track, held, company, policy)
    if not lacks and cusum.technique_of(held).startswith(_CERTIFICATE):
        lacks = "certificate"
    needs = company if usually_works(track, policy) else company.of_unusual()
    return AlarmEvidence(max(held.sums), needs.needs(policy), lacks)


def _lacking(track: Track, held: Suspicion, company: Company, policy: Policy) -> str:
    """What a suspicion lacks for an alarm; empty when it is enough."""
    usual = usually_works(track, policy)
    known = usual or (company.tells_enough(policy) and _short_history(track, held, policy))
    if not usual:
        company = company.of_unusual()
    if max(held.sums) < company.needs(policy):
        return "evidence"
    if not (company.joins or _dense_enough(held, policy.imported)):
        return "density"
    member = densest(held)
    # In a shorter time it was perhaps one volunteer who tried several times.
    span = policy.ms(policy.imported.imported_span_seconds)
    if not held.befores[member] or not known:
        if not company.always:
            return "history"
        span = policy.ms(policy.imported.imported_always_seconds)
    # Who fails in another network is somebody else.
    since = min(held.onsets[member], company.pooled.since or held.onsets[member])
    return "" if track.last_bad - since >= span else "span"


def _outlasts_outages(
    state: ServiceState, network: TargetNetwork, onset: int, round: int, policy: Policy
) -> bool:
    """Whether several functions of the service have failed for longer than outages last, in a
    country that nobody's runs can be compared with."""
    # After an outage some networks recover later than others.
    since = max(onset, elsewhere.recovery(state, network, onset))
    return (
        round - since >= policy.ms(policy.gates.outage_seconds)
        and not elsewhere.compared(state, network, round, policy)
        and elsewhere.several_targets(state, network)
        and not elsewhere.moved(state, network, onset)
    )


def tally(network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
    """The vote of a network's pseudo-vantage. It stands for many volunteers: it needs more evidence
    than one of our vantages, and its evidence is not clipped."""
    tracks = network.layers[layer].tracks
    voting, agreeing, *_ = quorum.ballot(network, layer, round, policy)
    suspicions = [tracks[probe].suspicion for probe in agreeing]
    holds = max((max(held.sums) for held in suspicions if held is not None), default=0)
    return Tally(
        voting=tuple(voting),
        agreeing=tuple(agreeing),
        owners=tuple(sorted({network.members[probe].owner for probe in agreeing})),
        signature=False,
        likely=holds >= policy.imported.imported_micronats,
        holds=holds,
        needs=policy.imported.imported_micronats,
    )


def missing(network: TargetNetwork, policy: Policy) -> str:
    """Why no failure in a network can raise an alarm; empty when one can."""
    histories = [
        track.baseline for series in network.layers.values() for track in series.tracks.values()
    ]
    worked = sum(map(runs_that_worked, histories))
    if network.runs is None or not network.runs.methods:
        return "no run that shows anything"
    if worked < policy.imported.imported_history:
        return f"{worked} of {policy.imported.imported_history} runs that worked"
    if any(baseline.chronic(history, policy.baseline) for history in histories):
        return "fails too often"
    if all(memory.vetoed(network.runs, method) for method in network.runs.methods):
        return "not reached since the service failed everywhere"
    return ""


def _short_history(track: Track, held: Suspicion, policy: Policy) -> bool:
    """Whether a target has worked in half as many runs as a history needs, and in none since it
    fails."""
    history, needed = track.baseline, policy.imported.imported_history
    worked = runs_that_worked(history)
    if held.misses or 2 * worked < needed:
        return False
    # The failures in it are mostly the present ones.
    failed = history.failed + history.recent_failed - min(held.hits, history.recent_failed)
    return failed * 1000 <= policy.baseline.chronic_per_mille * (worked + failed)


def _dense_enough(held: Suspicion, policy: ImportedPolicy) -> bool:
    """Whether enough of the runs since the onset failed, or so many that it is no chance."""
    runs = held.hits + held.misses
    dense = held.hits * 1000 >= policy.imported_dense_per_mille * runs
    return dense or held.hits >= policy.imported_many


def _first_span(state: ServiceState, network: TargetNetwork) -> int:
    """When the network first failed during the open event of its country."""
    current = state.open_events.get(f"{network.country} {network.source}")
    since = current.event.onset if current is not None else 0
    spans = network.runs.spans if network.runs is not None else ()
    return next((max(first, since) for first, last, _ in spans if last >= since), 0)


def lifted(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether the block has ended in this network: no failure for days, and enough successes for
    the share of failures during the block. With too few runs, it has ended when none of the
    networks that saw it fails any more."""
    quiet = policy.ms(policy.imported.imported_lift_seconds)
    mine = alarmed(network)
    if not mine or any(
        held.good_rounds < policy.ending.close_good_rounds or round - track.last_bad < quiet
        for track, held in mine
    ):
        return False
    return all(held.recovery >= policy.evidence.threshold_micronats for _, held in mine) or all(
        round - track.last_bad >= quiet
        for other in state.networks.values()
        if (other.source, other.country, other.target)
        == (network.source, network.country, network.target)
        for track, _ in alarmed(other)
    )


def seen_again(network: TargetNetwork, event: Event) -> int:
    """The round since which the service is reached again where it failed last; `network` has just
    reached it. Where few measure, it may be seen days later that an earlier block has ended."""
    spans = {
        (evidence.asn, evidence.target): evidence.spans[-1]
        for evidence in event.networks
        if evidence.spans
    }
    if network.runs is not None and network.runs.spans:
        spans[network.asn, network.target] = network.runs.spans[-1]
    failed = max((last for _, last, _ in spans.values()), default=event.onset)
    again = [again for _, last, again in spans.values() if last == failed and again]
    return min(again, default=failed)
