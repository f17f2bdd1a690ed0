# SPDX-License-Identifier: Apache-2.0
"""Imported facts in the detector's series: one pseudo-vantage per network and source.

The CUSUM is that of our own vantages; the rules around it differ, because runs are irregular, many
volunteers share one track, and there is no control.
- An alarm needs much more evidence than that of one of our vantages (at least four failing runs in
  a row), because no other vantage can agree, and a history of the target working there.
- The gate is other networks: `likely` needs another network that has reached the same target since
  the onset. Without one the service may be down: the event stays `unconfirmed` until several
  functions of the service have failed for longer than outages last. When the target fails in
  several other countries as well, failures do not count.
- A block that is on for some hours of each day is one block: it ends after days without failures.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from copy import copy

from msgspec.structs import replace

from monitor.detection.events import baseline, cusum, gates
from monitor.detection.events.cusum import CountedFailure
from monitor.detection.events.state import (
    Baseline,
    ImportedRuns,
    Member,
    Series,
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.imported import WHOLE, memory
from monitor.detection.imported.gathering import densest
from monitor.detection.imported.verdict import ALONE
from monitor.detection.model import OWN_SOURCE, ClosedGate, Event, Fact, State
from monitor.detection.policy import Policy

_FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED, State.INCONCLUSIVE)
_WHOLE_TENTHS = 9
_CERTIFICATE = "tls.mitm"


def outcome(fact: Fact) -> VantageOutcome:
    """The outcome of an imported fact."""
    verdict = fact.verdict
    if verdict.state is State.OK:
        return VantageOutcome.GOOD
    if verdict.state is State.DOWN:
        return VantageOutcome.DOWN
    blocked = any(finding.blocked for finding in verdict.findings) or verdict.layer is not None
    return VantageOutcome.BAD if blocked and verdict.state in _FAILED else VantageOutcome.SILENT


def record(network: TargetNetwork, fact: Fact, policy: Policy) -> None:
    """Record the pseudo-vantage and its latest outcome. Its interval is not a schedule: it sets for
    how long silence means nothing."""
    result = outcome(fact)
    network.members[fact.source] = Member(
        owner=fact.source,
        enrolled=0,
        interval=policy.ms(policy.imported_silence_seconds) // 3,
        round=fact.round,
        outcome=result,
    )
    if result in (VantageOutcome.GOOD, VantageOutcome.BAD, VantageOutcome.DOWN):
        runs = network.runs or ImportedRuns()
        network.runs = memory.note_method(runs, fact, result is not VantageOutcome.GOOD)


def update(
    state: ServiceState, network: TargetNetwork, fact: Fact, inhibited: bool, policy: Policy
) -> None:
    """Fold one fact into the series of its target. There is one series per target, not one per
    layer: runs are few, and a block shows in another layer when a run is cut short."""
    result, runs = outcome(fact), network.runs
    if runs is None or result is VantageOutcome.SILENT:
        return
    if result is VantageOutcome.DOWN:
        # The site's own fault, which may end here later than at the helper.
        if inhibited:
            network.runs = memory.veto(runs, fact.method, fact.round)
        return
    series = network.layers.setdefault(WHOLE, Series({}))
    track = series.tracks.get(fact.source) or Track(Baseline())
    together = _others_fail(state, network, fact.round, policy)
    if result is VantageOutcome.GOOD:
        runs = memory.works(runs, fact.round, policy)
        judged, strict = _worse_baseline(track, together, policy)
        track = _with_baseline_of(cusum.succeed(judged, fact.round, strict), track)
    elif inhibited:
        network.runs = memory.veto(runs, fact.method, fact.round)
        series.tracks[fact.source] = replace(track, last_bad=fact.round)
        return
    else:
        runs = memory.fails(runs, fact.round)
        track = _failed(network, track, fact, together, policy)
    if together:
        runs = memory.note_together(runs, result is VantageOutcome.BAD)
    network.runs = runs if track.suspicion is not None else memory.forget(runs)
    # What fails when others of a known block fail is no part of what is normal here.
    if not (together and result is VantageOutcome.BAD):
        track = _learnt(track, result is VantageOutcome.BAD, fact.round, policy)
    series.tracks[fact.source] = track


def _failed(
    network: TargetNetwork, track: Track, fact: Fact, together: bool, policy: Policy
) -> Track:
    verdict, round = fact.verdict, fact.round
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    member = network.members[fact.source]
    if not alarmed and not gates.may_vote(network, member, track, round, policy):
        return Track(track.baseline, track.last_good, round, None)
    blocked = [finding for finding in verdict.findings if finding.blocked]
    lead = max(blocked, key=lambda finding: finding.weight, default=None)
    share = verdict.endpoints
    failure = CountedFailure(
        id=fact.id,
        started=fact.started,
        rule=lead.rule if lead is not None else verdict.rule,
        # What names a technique is no evidence here: networks that fail by chance fail so, too.
        weight=0,
        technique=str(verdict.technique or ""),
        part=share.failed * 10 < share.total * _WHOLE_TENTHS
        or verdict.state in (State.IMPAIRED, State.THROTTLED),
    )
    judged, strict = _worse_baseline(track, together, policy)
    after = _with_baseline_of(cusum.fail(judged, round, failure, strict), track)
    return _halved(track, after) if ALONE in verdict.evidence else after


def _others_fail(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether another network of an open event of this country has failed within the hour."""
    if f"{network.country} {network.source}" not in state.open_events:
        return False
    hour = round - policy.ms(policy.imported_together_seconds)
    return any(
        track.last_bad >= hour
        for other in state.networks.values()
        if (other.source, other.country) == (network.source, network.country)
        and other.asn != network.asn
        for track, _ in _alarmed(other)
    )


@functools.lru_cache(maxsize=8)
def _with_light_prior(policy: Policy) -> Policy:
    return replace(policy, prior_weight=policy.chronic_weight)


def _worse_baseline(track: Track, together: bool, policy: Policy) -> tuple[Track, Policy]:
    """The track and the policy with the worse of two baselines; for a run in the same hours as
    failures of other networks (`together`), with the usual one. The usual one has a prior that
    weighs as much as a month of runs: alone it would make a bad network look good. The other has a
    light prior: alone it would make a good network look perfect, and one failure look like proof,
    so it has one more failure than were seen (the rule of succession). While the history is short,
    the latest runs count in it too."""
    light = _with_light_prior(policy)
    known = track.baseline
    whole = Baseline(known.total, known.failed + 1)
    if known.total < 2 * policy.imported_lag:
        whole = Baseline(known.total + known.recent_total, known.failed + known.recent_failed + 1)
    above, below = baseline.rate(known, policy)
    more, of = baseline.rate(whole, light)
    if together or more * below <= above * of:
        return track, policy
    return Track(whole, track.last_good, track.last_bad, track.suspicion), light


def _with_baseline_of(after: Track, before: Track) -> Track:
    """The track with its own baseline again, after it was updated with another one."""
    return Track(before.baseline, after.last_good, after.last_bad, after.suspicion)


def _halved(before: Track, after: Track) -> Track:
    """The track with half of what a failure added: nothing in its run shows that the device was
    online, except that the run was published later."""
    held = after.suspicion
    if held is None:
        return after
    new = copy(held)
    had = before.suspicion.sums if before.suspicion is not None else [0] * len(held.sums)
    new.sums = [
        # At least the minimum that counts, else a sum would approach its bound for ever.
        old + min(now - old, max((now - old) // 2, cusum.LEAST))
        for old, now in zip(had, held.sums, strict=True)
    ]
    return Track(after.baseline, after.last_good, after.last_bad, new)


def _learnt(track: Track, failed: bool, round: int, policy: Policy) -> Track:
    """The track with one more run in its baseline, unless a suspicion has frozen the baseline: one
    that began before anything had worked here cannot open an event, and freezes nothing. Nor does
    one that could have been an alarm for as long as that takes and the baseline lags behind: a
    network that is worse than it was known to be would never be known for it."""
    held = track.suspicion
    if held is not None and any(held.befores) and max(held.sums) >= policy.threshold_micronats:
        began = min(onset for onset in held.onsets if onset)
        few = held.hits + held.misses <= policy.imported_lag
        if few or round - began <= 2 * policy.ms(policy.imported_span_seconds):
            return track
    if held is not None and held.alarmed:
        return track
    if held is not None and not failed and not any(held.befores):
        track = replace(track, suspicion=None)
    return replace(track, baseline=memory.learn(track.baseline, failed, policy))


def inhibitions(
    state: ServiceState, touched: Collection[str], round: int, policy: Policy
) -> dict[str, ClosedGate]:
    """`service_down` for the touched imported networks whose target fails in several networks of
    other countries, and in too large a share of them: for all tests together, or for each test that
    fails here. A moved service fails for old versions of a test alone, wherever they still run.
    And for those where the tests that fail have not worked since that was so. A block that is older
    than any outage is not unsaid by another one that begins in other countries."""
    closed: dict[str, ClosedGate] = {}
    for key in touched:
        network = state.networks[key]
        if network.source == OWN_SOURCE or network.runs is None:
            continue
        if _long_blocked(network, round, policy):
            continue
        failing = [name for name, (_, bad, _) in network.runs.methods.items() if bad == round]
        if not failing:
            continue
        if not _alarmed(network) and all(memory.vetoed(network.runs, name) for name in failing):
            closed[key] = ClosedGate.SERVICE_DOWN
            continue
        others = [
            other
            for other in state.networks.values()
            if (other.source, other.target) == (network.source, network.target)
            and other.country != network.country
            and not _long_blocked(other, round, policy)
        ]
        if _fail_there([_latest(other, round, policy) for other in others], policy) or all(
            _fail_there([_latest(other, round, policy, name) for other in others], policy)
            for name in failing
        ):
            closed[key] = ClosedGate.SERVICE_DOWN
    return closed


def _fail_there(outcomes: Collection[bool | None], policy: Policy) -> bool:
    failed = sum(works is False for works in outcomes)
    known = sum(works is not None for works in outcomes)
    return failed >= policy.elsewhere_min_networks and (
        failed * 1000 > policy.elsewhere_per_mille * known
    )


def _latest(
    network: TargetNetwork, round: int, policy: Policy, method: str | None = None
) -> bool | None:
    """Whether the latest run worked, of one test or of all; None when it is too old. A failure that
    a gate did not let count stays until that test works again."""
    runs = network.runs
    if runs is None:
        return None
    if method is None:
        good = max((good for good, _, _ in runs.methods.values()), default=0)
        bad = max((bad for _, bad, _ in runs.methods.values()), default=0)
    else:
        good, bad, vetoed = runs.methods.get(method, (0, 0, 0))
        if vetoed > good and round - vetoed <= policy.ms(policy.baseline_seconds):
            return False
    if round - max(good, bad) > policy.ms(policy.outage_seconds):
        return None
    return good >= bad


def _long_blocked(network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether a block here is older than any outage: its failures say nothing of the service."""
    outage = policy.ms(policy.outage_seconds)
    return any(round - held.alarmed > outage for _, held in _alarmed(network))


def reached_in_other_network(
    state: ServiceState, network: TargetNetwork, since: int, policy: Policy
) -> bool:
    """Whether another network of the same source has reached the target since a round, with a test
    that fails here. One that began to fail at about the same time shows nothing by that: it may be
    the first to recover from an outage."""
    mine = network.runs.methods if network.runs is not None else {}
    failing = {name for name, (_, bad, _) in mine.items() if bad >= since}
    return any(
        good >= since and (name in failing or not failing)
        for other in state.networks.values()
        if other.source == network.source
        and other.target == network.target
        and (other.asn, other.country) != (network.asn, network.country)
        and other.runs is not None
        and not _failed_since(other, since - policy.ms(policy.outage_seconds), policy)
        for name, (good, _, _) in other.runs.methods.items()
    )


def _moved(state: ServiceState, network: TargetNetwork, since: int) -> bool:
    """Whether only tests that do not fail here have reached the target since a round, wherever they
    ran: the service has moved, and the tests that fail look for it where it was."""
    tests = network.runs.methods if network.runs is not None else {}
    failing = {name for name, (_, bad, _) in tests.items() if bad >= since}
    working = {
        name
        for other in state.networks.values()
        if (other.source, other.target) == (network.source, network.target)
        and other.runs is not None
        for name, (good, _, _) in other.runs.methods.items()
        if good >= since
    }
    return bool(working) and not working & failing


def _failed_since(network: TargetNetwork, since: int, policy: Policy) -> bool:
    """Whether the network has begun to fail since a round."""
    return any(
        (held.alarmed or max(held.sums) >= policy.threshold_micronats)
        and held.onsets[densest(held)] >= since
        for series in network.layers.values()
        for track in series.tracks.values()
        if (held := track.suspicion) is not None
    )


def _recovery(state: ServiceState, network: TargetNetwork, since: int) -> int:
    """The first round at which another network that failed since a round reached the target again;
    0 if none did."""
    return min(
        (
            again
            for other in state.networks.values()
            if (other.source, other.target) == (network.source, network.target)
            and other is not network
            and other.runs is not None
            for _, last, again in other.runs.spans
            if last >= since and again
        ),
        default=0,
    )


def _several_targets(state: ServiceState, network: TargetNetwork) -> bool:
    """Whether other targets of the service are alarmed in this network too: a moved endpoint
    affects one function everywhere, a block affects the service."""
    return any(
        other.target != network.target and _alarmed(other)
        for other in state.networks.values()
        if (other.source, other.country, other.asn)
        == (network.source, network.country, network.asn)
    )


def reached_elsewhere(state: ServiceState, network: TargetNetwork, policy: Policy) -> bool:
    """Whether another network has reached the target since the onset of an alarmed network."""
    onsets = [held.onsets[densest(held)] for _, held in _alarmed(network)]
    return reached_in_other_network(state, network, min(onsets, default=0), policy)


def _worked_before(track: Track, policy: Policy) -> bool:
    """Whether the target used to work in this network, often enough and mostly."""
    known = track.baseline
    total, failed = known.total + known.recent_total, known.failed + known.recent_failed
    return (
        total - failed >= policy.imported_history
        and failed * 1000 <= policy.chronic_per_mille * total
    )


def _dense_enough(held: Suspicion, policy: Policy) -> bool:
    """Whether enough of the runs since the onset failed, or so many that it is no chance."""
    runs = held.hits + held.misses
    dense = held.hits * 1000 >= policy.imported_dense_per_mille * runs
    return dense or held.hits >= policy.imported_many


def promote(
    state: ServiceState,
    network: TargetNetwork,
    layer: str,
    round: int,
    inhibited: bool,
    policy: Policy,
) -> None:
    """Raise the alarm and the tier of a series; a tier never falls while the alarm lasts."""
    series = network.layers[layer]
    for probe, track in list(series.tracks.items()):
        held = track.suspicion
        # In the hours of a known block in other networks, less is needed.
        joins = memory.fails_together(network.runs, policy)
        needs = policy.threshold_micronats if joins else policy.imported_micronats
        if held is None or max(held.sums) < needs or inhibited:
            continue
        if not joins and not _dense_enough(held, policy):
            continue
        if track.last_bad != round:
            continue  # a success raises no alarm, whatever evidence is left
        member = densest(held)
        onset = held.onsets[member]
        if not held.befores[member] or not _worked_before(track, policy):
            continue
        failing = track.last_bad - onset
        if failing < policy.ms(policy.imported_span_seconds):
            continue  # perhaps one volunteer who tried several times
        sure = reached_in_other_network(state, network, onset, policy)
        if not sure and cusum.technique_of(held).startswith(_CERTIFICATE):
            continue  # a root that the run's software did not know yet looks the same
        if not held.alarmed:
            raised = copy(held)
            raised.alarmed = round
            if joins:
                # What joins a block did not begin before it: an older failure is another matter.
                first = _first_span(state, network)
                raised.onsets = [max(each, first) for each in held.onsets]
            series.tracks[probe] = replace(track, suspicion=raised)
        # After an outage some networks recover later than others.
        since = max(onset, _recovery(state, network, onset))
        outlasted = track.last_bad - since >= policy.ms(policy.outage_seconds)
        likely = sure or (
            outlasted and _several_targets(state, network) and not _moved(state, network, onset)
        )
        series.rank = max(series.rank, 2 if likely else 1)


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
    quiet = policy.ms(policy.imported_lift_seconds)
    mine = _alarmed(network)
    if not mine or any(
        held.good_rounds < policy.close_good_rounds or round - track.last_bad < quiet
        for track, held in mine
    ):
        return False
    return all(held.recovery >= policy.threshold_micronats for _, held in mine) or all(
        round - track.last_bad >= quiet
        for other in state.networks.values()
        if (other.source, other.country, other.target)
        == (network.source, network.country, network.target)
        for track, _ in _alarmed(other)
    )


def _alarmed(network: TargetNetwork) -> list[tuple[Track, Suspicion]]:
    return [
        (track, track.suspicion)
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]


def seen_again(network: TargetNetwork, event: Event) -> int:
    """The round since which the service is reached again where it failed last; `network` has just
    reached it. Where few measure, it may be seen days later that an earlier block has ended."""
    spans = {(each.asn, each.target): each.spans[-1] for each in event.networks if each.spans}
    if network.runs is not None and network.runs.spans:
        spans[network.asn, network.target] = network.runs.spans[-1]
    failed = max((last for _, last, _ in spans.values()), default=event.onset)
    again = [again for _, last, again in spans.values() if last == failed and again]
    return min(again, default=failed)
