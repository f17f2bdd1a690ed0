# SPDX-License-Identifier: Apache-2.0
"""The addresses that the vantage's own resolver gave: what confirms them, and what speaks against
them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import msgspec

from monitor.detection.fingerprints import ANYWHERE
from monitor.detection.layers.http import same_as_control
from monitor.detection.layers.tls_certificate import leaf_of
from monitor.detection.layers.tls_contrasts import name_filtered
from monitor.detection.layers.working import needed_layer, works
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, Kind, dns_kind, tls_kind
from monitor.detection.observed.pages import same_title
from monitor.detection.observed.ranges import special_place
from monitor.detection.observed.view import ENCRYPTED, AddressView, EndpointView
from probes.wire.observation import DNSLookup


class DNSAnswer(msgspec.Struct, frozen=True, gc=False):
    """What is known of the addresses that a lookup gave."""

    proven: bool = False
    """One showed a certificate for the name that is valid but for its dates."""
    known: bool = False
    """One is an address that a control saw, or the vantage's encrypted resolver."""
    serves: bool = False
    """One speaks the app's own protocol, or gives in clear text a page with the title that the
    control's has. No certificate says so, but the app works there: resolvers of one farm give
    different servers, and a query that is doubled on its way gets two of such answers."""
    others_known: bool = False
    """A control, an encrypted resolver or a public one gives other addresses for the name."""
    bogon: bool = False
    """All lie in a special range in which no trusted answer and no liveness host lies."""
    page: str | None = None
    """Fingerprint of the block page that one showed, with others_known, or is known for."""
    foreign: bool = False
    """One showed someone else's certificate, or HTTP in place of TLS."""
    page_abroad: str | None = None
    """Fingerprint by which an address or alias is known as a block page's in other countries."""
    other_page: bool = False
    """In clear text all gave another page than the control's, while a trusted address gave the
    control's here as well."""
    dead: bool = False
    """All failed, while a trusted one of their family worked from here."""
    by_name: bool = False
    """At one of them other names pass, or our name dies elsewhere too: the path knows the name, so
    the address need not be wrong."""
    untried: bool = False
    """None was dialled, though they may be, but some of the other family were: a lean round dials
    one family. So no certificate could confirm it."""


NO_ANSWER = DNSAnswer()


def given_addresses(lookup: DNSLookup) -> frozenset[str]:
    """The addresses that a stub resolver would have accepted from a lookup."""
    return frozenset(lookup.answers) if dns_kind(lookup) is Kind.OK else frozenset()


def plain_references(endpoint: EndpointView, qtype: str) -> list[DNSLookup]:
    """Lookups of one type at public resolvers that anybody on the path can forge."""
    return [
        lookup
        for lookup in endpoint.name.references
        if lookup.qtype == qtype and lookup.transport not in ENCRYPTED
    ]


def answered_otherwise(plain: Iterable[DNSLookup], own: frozenset[str]) -> bool:
    """Whether a public resolver gives addresses, and none of these."""
    return any(dns_kind(q) is Kind.OK and not own.intersection(q.answers) for q in plain)


def answer_of(context: EndpointContext, lookup: DNSLookup) -> DNSAnswer:
    """Return what is known of the addresses that a lookup gave."""
    own = given_addresses(lookup)
    dialled = context.endpoint.addresses.values()
    addresses = [address for address in dialled if address.address in own]
    trusted = [address for address in dialled if address.address in context.known - own]
    plain = plain_references(context.endpoint, lookup.qtype)
    others_known = answered_otherwise(plain, own) or bool(context.known - own)
    bogon = _is_bogon(context, own)
    return DNSAnswer(
        proven=bool(own & context.proven) or any(a.tls.kind is Kind.DATES for a in addresses),
        known=bool(own & context.known),
        serves=any(_serves(context, address) for address in addresses),
        others_known=others_known,
        bogon=bogon,
        page=_page_of(context, lookup, own, context.country)
        or (_page_at(context, addresses) if others_known and not context.anyone_answers else None),
        page_abroad=_page_of(context, lookup, own, ANYWHERE),
        foreign=not context.anyone_answers and any(map(_foreign, addresses)),
        other_page=_other_page(context, addresses, trusted),
        dead=_dead(context, addresses, trusted),
        by_name=any(name_filtered(context, address) for address in addresses)
        or _shown_elsewhere(context.endpoint, addresses, trusted),
        untried=bool(own) and not bogon and not addresses and bool(dialled),
    )


def _is_bogon(context: EndpointContext, own: frozenset[str]) -> bool:
    right = {special_place(address) for address in context.known | context.proven}
    places = right | context.vantage.passage.special_places | {None}
    return bool(own) and places.isdisjoint(map(special_place, own))


def _serves(context: EndpointContext, address: AddressView) -> bool:
    page = address.http.subject
    if page is None or page.tls or page.status != HTTPStatus.OK:
        return address.app.passed
    there = (control.http.subject for control in context.control_addresses)
    return any(c is not None and c.status == page.status and same_title(page, c) for c in there)


def _foreign(address: AddressView) -> bool:
    """Someone else's certificate, or HTTP in place of TLS, in any handshake."""
    beside = address.tls.beside
    kinds = {
        address.tls.kind,
        address.quic.kind,
        None if beside is None else tls_kind(beside),
    }
    return not address.proven and not kinds.isdisjoint((*CERTIFICATE_KINDS, Kind.PLAIN_HTTP))


def _dead(
    context: EndpointContext, own: Sequence[AddressView], trusted: Iterable[AddressView]
) -> bool:
    """Every answered address that was tried fails, and a trusted one of the same family works from
    here; an address family that is broken here says nothing."""
    needed = needed_layer(context.endpoint)
    alive = context.vantage.passage.families
    families = {
        address.family for address in own if address.family in alive and not _untried(address)
    }
    working = any(works(address, needed) for address in trusted if address.family in families)
    return working and not any(works(address, needed) for address in own)


def _untried(address: AddressView) -> bool:
    """Whether it was only connected to, which shows nothing."""
    return address.tcp.passed and not address.deeper


def _other_page(
    context: EndpointContext, own: Iterable[AddressView], trusted: Iterable[AddressView]
) -> bool:
    pages = {same_as_control(context, address) for address in own if address.http.tried}
    return pages == {False} and any(same_as_control(context, address) for address in trusted)


def _shown_elsewhere(
    endpoint: EndpointView, addresses: Iterable[AddressView], trusted: Iterable[AddressView]
) -> bool:
    """Our own reflector, or an address that is right, shows the very certificate that the answered
    address shows: whoever forges it follows the name, or it is no forgery of addresses."""
    reflector = endpoint.reflector.tls
    shown = set(map(leaf_of, trusted))
    if reflector is not None and reflector.chain:
        shown.add(reflector.chain[0].sha256)
    return any(leaf_of(address) in shown - {""} for address in addresses if not address.proven)


def _page_of(
    context: EndpointContext, lookup: DNSLookup, own: frozenset[str], country: str
) -> str | None:
    """The fingerprint of one of the answer's addresses, or of a name that it is an alias of, as it
    is known in a country."""
    aliases = lookup.replies[0].cnames if own and lookup.replies else ()
    for text in (*sorted(own), *aliases):
        if (id := context.fingerprints.answer(text, country)) is not None:
            return id
    return None


def _page_at(context: EndpointContext, addresses: Iterable[AddressView]) -> str | None:
    for address in addresses:
        for exchange in (address.unverified, address.http.subject):
            if exchange is not None and (id := context.page(exchange)) is not None:
                return id
    return None
