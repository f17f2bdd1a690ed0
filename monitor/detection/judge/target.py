# SPDX-License-Identifier: Apache-2.0
"""The judgement of one measurement with its liveness and its controls: pure and total.

From top to bottom: which controls count, the judgement of each endpoint, the state of the target,
the rules about the vantage itself, and the outcome that names the verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge.beside_control import Outcome
from monitor.detection.judge.endpoint import EndpointJudgement, judge_endpoint
from monitor.detection.judge.partial import one_family, parts
from monitor.detection.layers.dns import CONFIRMED
from monitor.detection.model import Layer, LayerFinding, Share, State, Verdict, specificity
from monitor.detection.observed.background import NO_BACKGROUND, RoundBackground, background
from monitor.detection.observed.endpoint_context import endpoint_context
from monitor.detection.observed.liveness import (
    VantageStatus,
    beside,
    control_view,
    during,
    vantage_status,
)
from monitor.detection.observed.view import EndpointView, view
from monitor.detection.rule import Rule, first
from monitor.detection.vantage_rules import UNSEEN, VANTAGE_RULES
from probes.wire.measurement import Measurement
from probes.wire.protocol import protocol

Control = tuple[Measurement, Sequence[Measurement]]
"""A control's measurement of the same target, with the control's own liveness of that round."""
DEPTH = {layer: depth for depth, layer in enumerate(Layer)}
OPEN_STATES = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
_BLOCKED_TENTHS = 9
"""An `any_of` target is blocked when at least so many tenths of its endpoints are."""
_ALL_OF = (*OPEN_STATES, State.INCONCLUSIVE, State.DOWN, State.INSUFFICIENT)
_ANY_OF = (
    *(State.IMPAIRED, State.THROTTLED, State.OK),
    *(State.INCONCLUSIVE, State.INSUFFICIENT, State.DOWN),
)
"""The first state that an endpoint has is the target's."""
_PART_WEIGHS = 2
"""One address family alone counts this many times less: faults of routing concern one family more
often than blocks do, and apps take the other."""
RULE_EMPTY = "target.insufficient"
RULE_WORKS = "target.works"


def judge(
    measurement: Measurement,
    liveness: Sequence[Measurement] = (),
    controls: Sequence[Control] = (),
    fingerprints: Fingerprints = OWN,
    others: RoundBackground = NO_BACKGROUND,
) -> Verdict:
    """Return the verdict on one measurement of a vantage.

    `liveness`: the liveness measurements of the same probe and round. `controls`: the same target
    seen by controls, nearest round first; of those that are online themselves, all of the nearest
    round count, and one that passes a step is enough. `others`: the background that the vantage's
    other targets of that round show. Never raises.
    """
    here = beside(vantage_status(liveness), background(liveness) + others)
    return judge_beside(measurement, here, online_controls(controls), fingerprints)


def judge_beside(
    measurement: Measurement,
    here: VantageStatus,
    chosen: Sequence[dict[str, EndpointView]],
    fingerprints: Fingerprints = OWN,
) -> Verdict:
    """The same with the vantage status and the controls' views, which many targets share."""
    views = view(measurement)
    here = during(here, measurement, views.values())
    judged = _judged(measurement, views, here, chosen, fingerprints)
    state = combine(measurement.combine, judged)
    blocked_family = one_family(measurement.combine, judged) if state in OPEN_STATES else None
    if blocked_family is not None:
        state = State.IMPAIRED
    gate = _vantage_rule(state, here, views.values(), judged)
    # `down` rests on the control, so missing liveness does not change it.
    if gate is not None and not (gate.id == UNSEEN and state is State.DOWN):
        state = gate.state
    decided = _name(state, judged)
    remarks = _remarks(state, judged, decided) | _families(judged, here)
    remarks |= set() if gate is None else set(gate.evidence)
    if decided and decided.accuses and decided.layer is Layer.DNS and "on_path" not in remarks:
        remarks |= _whose_resolver(measurement)
    if state in OPEN_STATES:
        named_parts = [(v.ref, e) for v, e in zip(views.values(), judged, strict=True)]
        remarks |= parts(named_parts, blocked_family)
    # Where liveness shows that the vantage itself is the cause, nothing else is named.
    cause = None if here.international is None else gate
    named = decided if cause is None else None
    return Verdict(
        target=measurement.target,
        state=state,
        layer=named.layer if named and state is not State.OK else None,
        technique=named.technique if named else None,
        rule=_rule(state, named) if cause is None else cause.id,
        endpoints=Share(len(views), _failed(judged)),
        addresses=_addresses(judged),
        evidence=tuple(sorted(remarks)),
        findings=_findings(state, judged, 1 if blocked_family is None else _PART_WEIGHS),
    )


def _judged(
    measurement: Measurement,
    views: Mapping[str, EndpointView],
    here: VantageStatus,
    chosen: Sequence[Mapping[str, EndpointView]],
    fingerprints: Fingerprints,
) -> list[EndpointJudgement]:
    """Every endpoint, with its controls."""
    return [
        judge_endpoint(
            endpoint_context(
                endpoint,
                tuple(views.values()),
                [control[id] for control in chosen if id in control],
                here,
                measurement.vantage.country,
                fingerprints,
                [other for control in chosen for near, other in control.items() if near != id],
            )
        )
        for id, endpoint in views.items()
    ]


def _vantage_rule(
    state: State,
    here: VantageStatus,
    views: Iterable[EndpointView],
    judged: Sequence[EndpointJudgement],
) -> Rule[VantageStatus] | None:
    """The rule about the vantage itself that comes before this state; None when none does."""
    fails = state not in (State.OK, State.INSUFFICIENT)
    if fails or (state is State.OK and _may_be_anyone(here, views, judged)):
        return first(VANTAGE_RULES, here)
    return None


def _may_be_anyone(
    here: VantageStatus, views: Iterable[EndpointView], judged: Sequence[EndpointJudgement]
) -> bool:
    """Whether what works is no more than a connect, or a name whose answer nobody confirms, where
    most hosts that must prove themselves fail: a sign-in page, a proxy or an accelerator accepts
    every connection and answers every name."""
    return (
        here.international is False
        and not here.clock_wrong
        and not any(map(_confirmed, views, judged))
    )


def _confirmed(endpoint: EndpointView, judged: EndpointJudgement) -> bool:
    """Whether an endpoint works, and that shows more than that something answered."""
    layer = Layer(protocol(endpoint.ref.protocol).layer)
    if layer is Layer.DNS:
        return any(outcome.rule in CONFIRMED for outcome in judged.lookups)
    return judged.works and layer is not Layer.TCP


def _whose_resolver(measurement: Measurement) -> set[str]:
    """Evidence that the resolver is not the network's: a device at home or in the office, which may
    filter for its owner (one measurement cannot tell; therefore vantages of several owners must
    agree), or a public one."""
    of_class = {"private": {"local_resolver"}, "public": {"public_resolver"}}
    return of_class.get(measurement.vantage.resolver_class, set())


def online_controls(controls: Sequence[Control]) -> list[dict[str, EndpointView]]:
    """Return the views of the nearest round's controls that were online. Controls without known
    liveness do not count."""
    chosen: list[dict[str, EndpointView]] = []
    nearest: int | None = None
    for measurement, liveness in controls:
        if nearest is not None and measurement.round != nearest:
            break  # nearest first: the others are farther away
        if (status := vantage_status(liveness)).online:
            nearest = measurement.round
            chosen.append(control_view(measurement, status))
    return chosen


def combine(how: str, judged: Sequence[EndpointJudgement]) -> State:
    """Return the state of a target from its endpoints, before the rules about the vantage.

    Endpoints that are down for the control too are not counted. Endpoints without observations are,
    so that fewer observations never look more blocked. One throttled endpoint makes the target
    throttled, unless a part of it is blocked.
    """
    states = Counter(endpoint.state for endpoint in judged)
    if states[State.INSUFFICIENT] == len(judged):
        return State.INSUFFICIENT
    if how == "all_of":
        return next((state for state in _ALL_OF if states[state]), State.OK)
    blocked, counted = states[State.BLOCKED], len(judged) - states[State.DOWN]
    if blocked and blocked * 10 >= counted * _BLOCKED_TENTHS:
        return State.BLOCKED
    if blocked:
        return State.IMPAIRED
    return next(state for state in _ANY_OF if states[state])


def _name(state: State, judged: Sequence[EndpointJudgement]) -> Outcome | None:
    """The outcome that names the verdict: the deepest layer's most frequent accusation.

    For a state that accuses nobody: the deepest outcome of that state, else of what works.
    """
    outcomes = [o for e in judged for o in e.outcomes]
    open_as = State.THROTTLED if state is State.THROTTLED else State.BLOCKED
    for pool in (
        [o for o in outcomes if o.accuses and o.state is open_as] if state in OPEN_STATES else [],
        [o for o in outcomes if o.accuses] if state is State.INCONCLUSIVE else [],
        [o for o in outcomes if o.state is state],
    ):
        if pool:
            return _leading(pool)
    return None


_PLACES = defaultdict(lambda: len(ALL_RULES), {r.id: n for n, r in enumerate(ALL_RULES)})
"""A layer's rules stand in the order in which they decide, the more specific ones first."""


def _leading(pool: Sequence[Outcome]) -> Outcome:
    """The outcome that speaks for several of one layer: what names a technique before what names
    none, then the most frequent, then the most specific."""
    # An address that is cut off over TCP as well is named by TCP, where that was tried by itself.
    pool = [o for o in pool if "tcp_fails_too" not in o.evidence] or pool
    deepest = max(DEPTH[o.layer] for o in pool)
    pool = [o for o in pool if DEPTH[o.layer] == deepest]
    pool = [o for o in pool if o.technique is not None] or pool
    count = Counter(o.rule for o in pool)
    return max(
        pool,
        key=lambda o: (count[o.rule], specificity(o.technique), o.weight, -_PLACES[o.rule]),
    )


def _remarks(
    state: State, judged: Sequence[EndpointJudgement], decided: Outcome | None
) -> set[str]:
    """The evidence that belongs to the verdict: all remarks on what works, and on failures those
    that the state rests on."""
    open_question = state in (State.INCONCLUSIVE, *OPEN_STATES)
    return {
        remark
        for endpoint in judged
        for outcome in endpoint.outcomes
        if outcome.state is State.OK
        or open_question
        or (decided is not None and outcome.rule == decided.rule)
        for remark in outcome.evidence
    }


def _rule(state: State, named: Outcome | None) -> str:
    if state is State.INSUFFICIENT:
        return RULE_EMPTY
    return named.rule if named is not None else RULE_WORKS


def _failed(judged: Sequence[EndpointJudgement]) -> int:
    return sum(not e.works and e.state is not State.INSUFFICIENT for e in judged)


def _addresses(judged: Sequence[EndpointJudgement]) -> Share:
    """Addresses of all endpoints. Forged answers count as failed; those of a broken address
    family are counted and have failed as well. An address where nothing failed has not."""
    total = failed = 0
    for endpoint in judged:
        dialled = {a.address for a in endpoint.addresses}
        states = [State.OK if a.begun else a.state for a in endpoint.addresses if a.outcomes]
        undialled = len(endpoint.forged - dialled)
        total += len(states) + undialled
        failed += sum(s not in (State.OK, State.IMPAIRED) for s in states) + undialled
    return Share(total, failed)


def _families(judged: Sequence[EndpointJudgement], here: VantageStatus) -> set[str]:
    broken = any(o.rule.endswith(".family_broken") for e in judged for o in e.outcomes)
    if not broken or here.international is not True:
        return set()
    return {f"ipv{f}_broken" for f in (4, 6) if f not in here.passage.families}


def _findings(
    state: State, judged: Sequence[EndpointJudgement], divisor: int
) -> tuple[LayerFinding, ...]:
    """One a layer: what interferes there, only in a verdict that accuses; else what worked.
    `divisor`: by how much less the accusations weigh than those of the whole target."""
    outcomes = [o for e in judged for o in e.outcomes]
    findings = []
    for layer in Layer:
        accusing = [o for o in outcomes if o.layer is layer and o.state in OPEN_STATES]
        working = [o for o in outcomes if o.layer is layer and o.state is State.OK]
        if accusing and state in OPEN_STATES:
            lead = _leading(accusing)
            findings.append(
                LayerFinding(
                    layer=layer, blocked=True, rule=lead.rule, weight=lead.weight // divisor
                )
            )
        elif working and not accusing:
            findings.append(LayerFinding(layer=layer, blocked=False, rule=_leading(working).rule))
    return tuple(findings)
