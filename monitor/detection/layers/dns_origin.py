# SPDX-License-Identifier: Apache-2.0
"""Where a false answer or denial was made: by the name's own servers, by the resolver, or on the
way.

A fault of the name's own servers shows at other resolvers too. What a resolver keeps of it for
longer than others is an answer that those servers gave once.
"""

from __future__ import annotations

from monitor.detection.layers.dns_answer import given_addresses
from monitor.detection.layers.dns_forgery import ABSENT, SOA, Forgery
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import dns_kind
from monitor.detection.observed.view import SYSTEM, NameView

OTHERS_ANSWER = "others_answer"
"""Evidence that another resolver, asked from here at the same time, gives an address that is right:
it showed a valid certificate for the name here, a control was given it, or it came over an
encrypted channel."""
MADE_UP = "made_up"
"""Evidence beside it that the name's own servers cannot have given the answer: it was changed on
the way, or is an address that nobody can serve. An answer that is the same for names below that do
not exist shows no such thing: a resolver that has seen a domain lapse, or another party take it
over, before the others gives one for all names in it, and one that sells advertisements in place of
a denial gives that for whatever it was told does not exist."""
NO_ZONE = "denied_without_zone"
"""Evidence beside it that the name is denied without the SOA record of its zone. Its own servers
send one, and resolvers keep it with the denial (RFC 2308, sections 3 and 5)."""
ZONES_KEPT = "zones_kept"
"""Evidence beside it that the same resolver gives that record with other denials at the same time:
who asked it does not drop the record, be it a device at home."""
SAID = ("resolver_blocks", "resolver_censors", "resolver_filters")
"""Evidence of the probe: the resolver itself says that its operator, an authority or its customer
wants the name blocked (RFC 8914). Who stands on the way may say so as well."""
FAULTS = ("dnssec_fails", "nameservers_fail")
"""Evidence of the probe: the resolver says that the name's signatures did not hold, or that it did
not reach the name's own servers (RFC 8914). A lie upstream of a resolver that validates, or a way
to those servers that is blocked for it, ends so as well."""


def origin_remarks(
    context: EndpointContext, qtype: str, forgery: Forgery, bogon: bool
) -> tuple[str, ...]:
    """Return what shows where the answer of the vantage's resolver was made. `bogon`: it has only
    addresses that no public service can have."""
    queries = context.endpoint.name.queries.get(qtype, ())
    said = tuple(word for word in SAID if any(word in query.evidence for query in queries))
    if not _others_answer(context, qtype):
        return said
    made_up = forgery.changed or bogon
    kept = _keeps_zones(context.endpoint.name, context.endpoint.ref.host)
    zoneless = kept is not False and _denied_without_zone(context.endpoint.name, qtype)
    return (
        *said,
        OTHERS_ANSWER,
        *((MADE_UP,) if made_up else ()),
        *((NO_ZONE,) if zoneless else ()),
        *((ZONES_KEPT,) if zoneless and kept else ()),
    )


def _others_answer(context: EndpointContext, qtype: str) -> bool:
    asked = (query for query in context.endpoint.name.references if query.qtype == qtype)
    right = context.known | context.proven
    return any(not right.isdisjoint(given_addresses(query)) for query in asked)


def _denied_without_zone(name: NameView, qtype: str) -> bool:
    denials = [query for query in name.queries.get(qtype, ()) if dns_kind(query) in ABSENT]
    return bool(denials) and not any(SOA in denial.evidence for denial in denials)


def _keeps_zones(name: NameView, host: str) -> bool | None:
    """Whether the resolver passes on the zone with a denial; None when nothing else was denied.
    Some devices drop it from every answer, and some from what they kept: of these, a name that was
    asked for the first time tells."""
    denied = [q for q in name.below if q.resolver == SYSTEM and dns_kind(q) in ABSENT]
    usual = [SOA in q.evidence for q in denied if not q.name.endswith(f".{host}")]
    below = [SOA in q.evidence for q in denied if q.name.endswith(f".{host}")]
    if not usual:
        return None
    if usual[0] and (usual[1:] == [True] or below == [False]):
        return True
    return None if usual == [True] else False
