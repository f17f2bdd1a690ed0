# SPDX-License-Identifier: Apache-2.0
"""The health of the vantage's own resolver: how it treats other names and other query types."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitor.detection.layers.dns_forgery import ABSENT
from monitor.detection.observed.background import UNANSWERED, resent
from monitor.detection.observed.chance import nearly_as_long
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind, dns_kind
from monitor.detection.observed.view import EndpointView
from probes.wire.observation import DNSLookup


class ResolverHealth(msgspec.Struct, frozen=True, gc=False):
    """How the resolver treats other names than the endpoint's."""

    answers_others: bool = False
    """It answers for the liveness names."""
    type_unanswered: bool = False
    """It fails this query type in this way for the liveness names too, though it answers the other
    type: it fails every name so (RFC 4074)."""
    limits: bool = False
    """At the same time it failed an innocuous name as well, or answered it only when it was asked
    again, or as late as this one was waited for."""
    fails_alike: bool = False
    """It fails several liveness names in this way, whatever is asked of them."""
    contradicted: bool = False
    """It says of a liveness name that it does not exist and that it has an address, or of an
    innocuous one at one time that it has no address and at another that it has."""


HEALTHY = ResolverHealth()


def resolver_health(context: EndpointContext, lookup: DNSLookup) -> ResolverHealth:
    """Return how the resolver that answered a lookup so treats other names."""
    resolver = context.vantage.resolver
    return ResolverHealth(
        answers_others=resolver.answers,
        type_unanswered=(lookup.qtype, dns_kind(lookup)) in resolver.unanswered,
        limits=any(
            _failed_at_first(innocuous) or _late(context.endpoint, lookup, innocuous)
            for innocuous in context.endpoint.name.innocuous
            if (innocuous.qtype, dns_kind(innocuous)) not in resolver.unanswered
        ),
        fails_alike=dns_kind(lookup) in resolver.fails_alike,
        contradicted=resolver.contradicts_itself or _contradicted(context.siblings),
    )


def _failed_at_first(innocuous: DNSLookup) -> bool:
    return dns_kind(innocuous) in UNANSWERED or resent(innocuous)


def _late(endpoint: EndpointView, lookup: DNSLookup, innocuous: DNSLookup) -> bool:
    """Whether an innocuous name was answered as late as a lookup without an answer was waited
    for."""
    waited = (query.took_us for query in endpoint.name.queries[lookup.qtype])
    return dns_kind(lookup) is Kind.TIMEOUT and nearly_as_long([innocuous.took_us], waited)


def _contradicted(endpoints: Iterable[EndpointView]) -> bool:
    kinds = {dns_kind(q) for endpoint in endpoints for q in endpoint.name.innocuous}
    return Kind.OK in kinds and not kinds.isdisjoint(ABSENT)
