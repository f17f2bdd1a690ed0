# SPDX-License-Identifier: Apache-2.0
"""The judgement of one endpoint: rules for each lookup and address, then combined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from monitor.detection.judge.address import (
    AddressJudgement,
    judge_address,
    without_unseen_accusations,
    without_weak_accusations,
)
from monitor.detection.judge.beside_control import STRONG, Outcome, inconclusive, outcome_of
from monitor.detection.judge.endpoint_rules import (
    ENDPOINT_RULES,
    EndpointEvidence,
    EndpointProgress,
)
from monitor.detection.layers.dns import DNS_RULES, LookupFacts, lookup_facts
from monitor.detection.layers.dns_origin import origin_remarks
from monitor.detection.model import Layer, State
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.view import ENCRYPTED, answers
from monitor.detection.rule import first
from probes.wire.protocol import protocol

_WORKING = (State.OK, State.IMPAIRED)


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


def judge_endpoint(context: EndpointContext) -> EndpointJudgement:
    """Judge one endpoint with its controls."""
    lookups: list[Outcome] = []
    own: set[str] = set()
    forged: set[str] = set()
    asked = context.endpoint.name.lookups
    for qtype in sorted(asked):
        facts = lookup_facts(context, qtype)
        outcome = outcome_of(DNS_RULES, Layer.DNS, facts, facts.reach)
        if outcome.accuses:
            origin = origin_remarks(context, qtype, facts.forgery, facts.answer.bogon)
            outcome = replace(outcome, evidence=outcome.evidence + _origin(facts) + origin)
        lookups.append(outcome)
        (forged if outcome.accuses else own).update(asked[qtype].answers)
    if forged:
        forged |= _unconfirmed(context) - own
    literal = not context.endpoint.ref.host or not lookups
    addresses = [
        judge_address(
            context, address, literal or address.address in own, address.address in forged
        )
        for address in context.endpoint.addresses.values()
        if address.seen
    ]
    return _combine(context, lookups, without_unseen_accusations(addresses), forged - own)


def _unconfirmed(context: EndpointContext) -> frozenset[str]:
    """Addresses that public resolvers gave in clear text and nothing trusted confirms. Where an
    answer was forged they may be too: an injector draws each of its answers from a pool."""
    plain = (q for q in context.endpoint.name.references if q.transport not in ENCRYPTED)
    return answers(plain) - context.known - context.proven


def _origin(facts: LookupFacts) -> tuple[str, ...]:
    """Where a forged answer came from, and to which block page it leads."""
    answer = facts.answer
    return (
        *(("on_path",) if facts.forgery.on_path else ()),
        *(("lying_resolver",) if facts.forgery.lying_resolver else ()),
        *((f"blockpage:{page}",) if (page := answer.page or answer.page_abroad) else ()),
    )


def _combine(
    context: EndpointContext,
    lookups: Sequence[Outcome],
    addresses: Sequence[AddressJudgement],
    forged: set[str],
) -> EndpointJudgement:
    """Combine the outcomes of one endpoint. Where it works, weak accusations do not count."""
    last = Layer(protocol(context.endpoint.ref.protocol).layer)
    if last is Layer.DNS:
        addresses = ()
    resolves = not lookups or _any_passed(lookups)
    own = [a for a in addresses if a.own or (resolves and _spoke(a, Layer.HTTP))]
    progress = _progress(last, lookups, addresses, own)
    works = progress.finished and resolves
    if works:
        lookups = [o if o.weight >= STRONG else inconclusive(o) for o in lookups]
        addresses = [without_weak_accusations(a) for a in addresses]
        own = [a for a in addresses if a.own]
    evidence = EndpointEvidence(
        resolves,
        progress,
        _states(lookups, own if resolves else addresses),
        slowed=next((o.state for a in own for o in a.outcomes if o.slows), None),
    )
    rule = first(ENDPOINT_RULES, evidence)
    assert rule is not None, "the last row matches everything"
    return EndpointJudgement(
        rule.state,
        works and evidence.slowed is None,
        tuple(lookups),
        tuple(addresses),
        frozenset(forged),
        tuple(sorted(context.endpoint.name.lookups)),
    )


def _any_passed(lookups: Iterable[Outcome]) -> bool:
    return any(lookup.state is State.OK for lookup in lookups)


def _states(lookups: Iterable[Outcome], addresses: Iterable[AddressJudgement]) -> frozenset[State]:
    return frozenset((*(o.state for o in lookups), *(a.state for a in addresses)))


def _progress(
    last_layer: Layer,
    lookups: Sequence[Outcome],
    addresses: Sequence[AddressJudgement],
    own: Sequence[AddressJudgement],
) -> EndpointProgress:
    """The protocol's last step may have been taken at one address only (one request per endpoint),
    also at an address of a reference resolver: then it counts for all addresses that passed the
    step that each needs. The same holds for the one address whose speed was measured. An address
    where that step was not tried has not worked; as long as no last step was tried at all, it keeps
    the endpoint from being blocked as a whole."""
    if last_layer is Layer.DNS:
        resolved = _any_passed(lookups)
        return EndpointProgress(reached=resolved, finished=resolved)
    last = [o for a in addresses for o in a.outcomes if o.layer is last_layer or o.cuts]
    works = any(a.own and a.state in _WORKING for a in own)
    finished = works and any(o.state is State.OK or o.partial for o in last)
    return EndpointProgress(
        reached=finished or (works and not last),
        begun=not last and any(a.begun for a in own),
        finished=finished,
    )


def _spoke(judged: AddressJudgement, layer: Layer) -> bool:
    """Whether a step of this layer was judged here, with a conclusive state."""
    return any(o.layer is layer and o.state is not State.INSUFFICIENT for o in judged.outcomes)
