# SPDX-License-Identifier: Apache-2.0
"""The judgement of one endpoint: rules for each lookup and address, then combined.

An outcome is the result of one rule. Its state becomes `inconclusive` where the control did not
pass the same step; the rule's technique is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from monitor.detection.layers.app import APP_RULES, AppFacts, app_facts, over_udp, page_facts
from monitor.detection.layers.dns import DNS_RULES, LookupFacts, lookup_facts, needed_layer
from monitor.detection.layers.http import HTTP_RULES, http_facts
from monitor.detection.layers.quic import QUIC_RULES, quic_facts
from monitor.detection.layers.tcp import TCP_RULES, tcp_facts
from monitor.detection.layers.throttle import THROTTLE_RULES, transfer_facts
from monitor.detection.layers.tls import TLS_RULES, tls_facts
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.endpoint_context import EndpointContext, Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.path import path_remarks
from monitor.detection.observed.view import ENCRYPTED, AddressView, answers
from monitor.detection.rule import Rule, first
from probes.wire.protocol import protocol

F = TypeVar("F")
DEPTH = {layer: depth for depth, layer in enumerate(Layer)}
STRONG = 2_000_000
"""A signature of more than this weight accuses an address even if the control did not measure this
address."""
_UNCLEAR = ".unclear"
"""End of the ids of catch-all rules: the verdict's evidence then says what was seen."""
WEAK = "weak_sign"
"""Evidence that an accusation is weak, and the endpoint works in another way."""
UNSEEN = "unseen_address"
"""Evidence that an accusation is weak, and no control saw the address."""
_WORKING = (State.OK, State.IMPAIRED)


@dataclass(frozen=True)
class Outcome:
    """The result of one rule for one lookup or one address."""

    layer: Layer
    rule: str
    state: State
    """With the control taken into account."""
    accuses: bool = False
    """The rule itself says blocked, whatever the control saw."""
    technique: Technique | None = None
    weight: int = 0
    evidence: tuple[str, ...] = ()
    here: bool = True
    """The control passed this step at this very address (or the step has no address)."""
    partial: bool = False
    """Some connections fail so and others pass."""
    slows: bool = False
    """The rule itself says throttled: the step works, but too slowly to be useful."""
    cuts: bool = False
    """The connection dies after its handshake, in place of the app's own step."""


@dataclass(frozen=True)
class AddressJudgement:
    """All steps at one address."""

    address: str
    own: bool
    """The vantage's own resolver (or the catalogue) gave it."""
    outcomes: tuple[Outcome, ...]
    needed: Layer
    """The step that every address of this protocol must pass to count as working."""
    unseen: bool = False
    """It is accused, and no control saw it."""

    @property
    def state(self) -> State:
        """OK, or the state of the first step that was not; insufficient when the needed step was
        not tried. After a step at which a share of the connections is blocked the next steps count
        too, and the state is impaired."""
        for outcome in self.outcomes:
            if outcome.state is not State.OK and not outcome.partial:
                return outcome.state
        if any(outcome.state is State.BLOCKED for outcome in self.outcomes):
            return State.IMPAIRED
        return State.OK if self.tried else State.INSUFFICIENT

    @property
    def tried(self) -> bool:
        """The needed step was tried."""
        return any(outcome.layer is self.needed for outcome in self.outcomes)

    @property
    def begun(self) -> bool:
        """Every step that was tried passed, and the needed one was not tried."""
        passed = all(outcome.state is State.OK for outcome in self.outcomes)
        return bool(self.outcomes) and passed and not self.tried


@dataclass(frozen=True)
class EndpointJudgement:
    """One endpoint: its state and all outcomes."""

    state: State
    works: bool
    """At least one of its own addresses works (or its name resolves, where that is all)."""
    lookups: tuple[Outcome, ...] = ()
    addresses: tuple[AddressJudgement, ...] = ()
    forged: frozenset[str] = frozenset()
    """Answered addresses that are judged forged."""
    qtypes: tuple[str, ...] = ()
    """The query types of the lookups, in their order."""

    @property
    def by_qtype(self) -> dict[str, Outcome]:
        """The outcome of the lookup for each query type."""
        return dict(zip(self.qtypes, self.lookups, strict=False))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """All outcomes."""
        return (*self.lookups, *(o for a in self.addresses for o in a.outcomes))


def _outcome(
    rules: Sequence[Rule[F]],
    layer: Layer,
    facts: F,
    reach: Reach,
    here: bool = True,
    evidence: tuple[str, ...] = (),
    partial: bool = False,
) -> Outcome:
    rule = first(rules, facts)
    if rule is None:  # only when a tuple has lost its last rule
        return Outcome(layer, f"{layer}.unmatched", State.INCONCLUSIVE)
    accuses = rule.state in (State.BLOCKED, State.THROTTLED)
    state, extra = rule.state, rule.evidence
    if accuses and reach is not Reach.PASSED:
        state = State.INCONCLUSIVE
        extra += ("no_control" if reach is Reach.UNKNOWN else "control_fails",)
    if rule.state is not State.OK:
        extra += evidence
    if rule.id.endswith(_UNCLEAR):
        extra += (f"{layer}:{getattr(facts, 'kind', 'unknown')}",)
    return Outcome(
        layer,
        rule.id,
        state,
        accuses,
        rule.technique,
        rule.weight,
        extra,
        here,
        partial and accuses,
        rule.state is State.THROTTLED,
    )


def judge_endpoint(context: EndpointContext) -> EndpointJudgement:
    """Judge one endpoint with its controls."""
    lookups: list[Outcome] = []
    own: set[str] = set()
    forged: set[str] = set()
    for qtype in sorted(context.endpoint.lookups):
        facts = lookup_facts(context, qtype)
        said = _outcome(DNS_RULES, Layer.DNS, facts, facts.reach)
        if said.accuses:
            said = replace(said, evidence=said.evidence + _origin(facts))
        lookups.append(said)
        answered = context.endpoint.lookups[qtype].answers
        (forged if said.accuses else own).update(answered)
    if forged:
        forged |= _unconfirmed(context) - own
    literal = not context.endpoint.ref.host or not lookups
    addresses = tuple(
        _judge_address(
            context, address, literal or address.address in own, address.address in forged
        )
        for address in context.endpoint.addresses.values()
        if address.seen
    )
    addresses = _without_unseen_accusations(addresses)
    return _combine(context, tuple(lookups), addresses, frozenset(forged - own))


def _unconfirmed(context: EndpointContext) -> frozenset[str]:
    """Addresses that public resolvers gave in clear text and nothing trusted confirms. Where an
    answer was forged they may be too: an injector draws each of its answers from a pool."""
    said = answers(q for q in context.endpoint.references if q.transport not in ENCRYPTED)
    return said - context.known - context.proven


def _origin(facts: LookupFacts) -> tuple[str, ...]:
    """Where a forged answer came from, and to which block page it leads."""
    return (
        *(("on_path",) if facts.on_path else ()),
        *(("lying_resolver",) if facts.lying_resolver else ()),
        *((f"blockpage:{facts.page}",) if facts.page else ()),
    )


def _judge_address(
    context: EndpointContext, address: AddressView, own: bool, forged: bool
) -> AddressJudgement:
    outcomes: list[Outcome] = []
    if (tcp := tcp_facts(context, address, forged)) is not None:
        outcomes.append(
            _outcome(TCP_RULES, Layer.TCP, tcp, tcp.reach, tcp.here, tcp.icmp, tcp.some_flows)
        )
    if (tls := tls_facts(context, address, forged)) is not None and _earlier_steps_work(outcomes):
        evidence = (
            *(("system_root",) if tls.system_root else ()),
            *((f"blockpage:{tls.page}",) if tls.page else ()),
            *path_remarks(tls.kind, address.paths),
            *(("residual_possible",) if tls.residual_possible else ()),
        )
        outcomes.append(
            _outcome(TLS_RULES, Layer.TLS, tls, tls.reach, tls.here, evidence, tls.some_flows)
        )
    if (speed := transfer_facts(context, address, forged)) is not None and _earlier_steps_work(
        outcomes
    ):
        said = _outcome(THROTTLE_RULES, Layer.TLS, speed, speed.reach, speed.here)
        cuts = said.accuses and speed.dead is not None
        outcomes.append(replace(said, cuts=cuts))
    if (quic := quic_facts(context, address, forged)) is not None and _earlier_steps_work(outcomes):
        outcomes.append(
            _outcome(QUIC_RULES, Layer.QUIC, quic, quic.reach, quic.here, quic.evidence)
        )
    if (http := http_facts(context, address, forged)) is not None and _earlier_steps_work(outcomes):
        seen = (
            *((f"blockpage:{page}",) if (page := http.page or http.page_abroad) else ()),
            *(("by_service",) if http.tls and http.kind is Kind.OK else ()),
        )
        outcomes.append(
            _outcome(HTTP_RULES, Layer.HTTP, http, http.reach, http.here, seen, http.some_flows)
        )
    if (app := app_facts(context, address, forged)) is not None and _earlier_steps_work(outcomes):
        outcomes.append(_app_outcome(app, over_udp(address)))
    return AddressJudgement(
        address.address,
        own,
        tuple(outcomes),
        needed_layer(context.endpoint),
        any(o.state is State.BLOCKED for o in outcomes) and context.unseen(address),
    )


def _app_outcome(facts: AppFacts, udp: bool) -> Outcome:
    """A block page in place of the app's answer is judged by the rules of HTTP."""
    if (page := page_facts(facts)) is not None:
        said = (f"blockpage:{facts.page}",)
        return _outcome(HTTP_RULES, Layer.HTTP, page, page.reach, page.here, said)
    if udp:
        return _outcome(UDP_RULES, Layer.UDP, facts, facts.reach, facts.here, facts.remarks)
    return _outcome(APP_RULES, Layer.APP, facts, facts.reach, facts.here, facts.remarks)


def _earlier_steps_work(outcomes: Sequence[Outcome]) -> bool:
    """Whether the steps before worked, so that this one counts."""
    return all(outcome.state is State.OK or outcome.partial for outcome in outcomes)


def _combine(
    context: EndpointContext,
    lookups: tuple[Outcome, ...],
    addresses: tuple[AddressJudgement, ...],
    forged: frozenset[str],
) -> EndpointJudgement:
    """Combine the outcomes of one endpoint.

    The protocol's last step may have been taken at one address only (one request per endpoint),
    also at an address of a reference resolver: then it counts for all addresses that passed the
    step that each needs. The same holds for the one address whose speed was measured. An address
    where that step was not tried has not worked; as long as no last step was tried at all, it keeps
    the endpoint from being blocked as a whole.
    """
    names = {o.state for o in lookups}
    resolves = not lookups or State.OK in names
    last_layer = Layer(protocol(context.endpoint.ref.protocol).layer)
    if last_layer is Layer.DNS:
        addresses = ()
    last = [o for a in addresses for o in a.outcomes if o.layer is last_layer or o.cuts]
    own = [a for a in addresses if a.own or (resolves and _spoke(a, Layer.HTTP))]
    reached = any(a.state in _WORKING for a in own if a.own)
    begun = not last and any(a.begun for a in own)
    if last_layer is Layer.DNS:
        reached = finished = State.OK in names
    else:
        finished = reached and any(o.state is State.OK or o.partial for o in last)
    reached = reached and (finished or not last)
    if finished and resolves:
        lookups = tuple(o if o.weight >= STRONG else _inconclusive(o) for o in lookups)
        names = {o.state for o in lookups}
        addresses = tuple(map(_without_weak_accusations, addresses))
        own = [a for a in addresses if a.own]
    states = {a.state for a in (own if resolves else addresses)}
    slowed = next((o.state for a in own for o in a.outcomes if o.slows), None)
    reached = reached or slowed is not None
    finished = finished and slowed is None
    if State.BLOCKED in names or states & {State.BLOCKED, State.IMPAIRED}:
        state = State.IMPAIRED if (reached or begun) and resolves else State.BLOCKED
    elif slowed is not None and resolves:
        state = slowed
    elif reached and resolves:
        state = State.OK if finished else State.INSUFFICIENT
    else:
        every = states | (names - {State.OK})
        state = next(
            (s for s in (State.INCONCLUSIVE, State.DOWN) if s in every),
            State.INCONCLUSIVE if State.VANTAGE_OFFLINE in every else State.INSUFFICIENT,
        )
    asked = tuple(sorted(context.endpoint.lookups))
    return EndpointJudgement(state, finished and resolves, lookups, addresses, forged, asked)


def _spoke(judged: AddressJudgement, layer: Layer) -> bool:
    """Whether a step of this layer was judged here, with a conclusive state."""
    return any(o.layer is layer and o.state is not State.INSUFFICIENT for o in judged.outcomes)


def _without_unseen_accusations(
    judged: tuple[AddressJudgement, ...],
) -> tuple[AddressJudgement, ...]:
    """The judgements without weak accusations of addresses that no control saw. That a control
    passed at other addresses says nothing of these: they may be servers for this region that are
    down or overloaded. Where the same happens at an address that controls passed, they count."""
    told = {o.rule for a in judged if not a.unseen for o in a.outcomes if o.state is State.BLOCKED}
    return tuple(
        replace(
            a,
            outcomes=tuple(
                o if o.weight > STRONG or o.rule in told else _inconclusive(o, UNSEEN)
                for o in a.outcomes
            ),
        )
        if a.unseen
        else a
        for a in judged
    )


def _without_weak_accusations(judged: AddressJudgement) -> AddressJudgement:
    """The judgement where other addresses work. An address that the control did not measure may be
    a server of another region that is down: only a strong signature accuses it."""
    return replace(
        judged,
        outcomes=tuple(
            o if o.here or o.weight > STRONG else _inconclusive(o) for o in judged.outcomes
        ),
    )


def _inconclusive(outcome: Outcome, why: str = WEAK) -> Outcome:
    """A weak accusation as inconclusive."""
    if outcome.state is not State.BLOCKED:
        return outcome
    return replace(outcome, state=State.INCONCLUSIVE, evidence=(*outcome.evidence, why))
