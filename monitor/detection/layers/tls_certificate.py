# SPDX-License-Identifier: Apache-2.0
"""Whose certificate a server showed: the service's own, an interceptor's at the vantage, or
somebody else's for this name alone.

A service may change its certificates or its authority region by region, and then shows what no
control has seen yet: that a certificate is not the control's proves nothing. Three comparisons
tell. The server shows another name what the control gets for ours; our own host, where nobody else
should answer, shows this authority for our name; or it shows it for a name that is on no list
either, or an unrelated host does.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from monitor.detection.observed.certificate import NOBODY, ShownBy, shown_by
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, Kind, tls_kind
from monitor.detection.observed.view import AddressView
from probes.wire.observation import TLSHandshake


class ShownCertificate(msgspec.Struct, frozen=True, gc=False):
    """What is known of the certificate that a server showed."""

    at_control: bool = False
    """The control saw the same certificate."""
    system_root: bool = False
    """It is valid under a root of the vantage's system alone."""
    page: str | None = None
    """Fingerprint of the block page behind it."""
    for_this_name: bool = False
    """Another name gets from this server what the control gets for ours, or our own host shows it
    for our name as well."""
    for_any_name: bool = False
    """A liveness host, or our own host for a name that nobody has, shows the same authority, or
    answers in clear text as well."""
    other_edge: bool = False
    """A trusted authority's certificate for another name, shown at addresses alone that no control
    saw, and no known block page behind it."""

    @property
    def foreign(self) -> bool:
        """A comparison shows that it is not the service's own."""
        return self.for_this_name or self.page is not None


NO_CERTIFICATE = ShownCertificate()


def shown_certificate(
    context: EndpointContext,
    address: AddressView,
    handshake: TLSHandshake,
    there: Sequence[AddressView],
) -> ShownCertificate:
    """Compare what a handshake was shown. `there`: the addresses at which controls shook hands."""
    leaf, kind = leaf_of(address), tls_kind(handshake)
    page = context.page(address.unverified) if address.unverified else None
    theirs = {leaf_of(other) for other in there} - {""}
    refused = kind in CERTIFICATE_KINDS
    return ShownCertificate(
        at_control=leaf in theirs,
        system_root="system_root" in handshake.evidence,
        page=page,
        for_this_name=refused and _for_this_name(context, handshake, theirs - {leaf}),
        for_any_name=(refused or kind is Kind.PLAIN_HTTP) and _for_any_name(context, handshake),
        other_edge=kind is Kind.OTHER_NAME
        and page is None
        and all(
            context.unseen(other)
            for other in context.endpoint.addresses.values()
            if leaf_of(other) == leaf
        ),
    )


def _for_this_name(
    context: EndpointContext, handshake: TLSHandshake, theirs: AbstractSet[str]
) -> bool:
    """`theirs`: hashes of the certificates that controls alone got for our name. Another name may
    have been shown at another address of the endpoint, which is intercepted alike."""
    if any(
        _leaf(other.tls.innocuous) in theirs and _same_showed(handshake, _subject(other))
        for other in context.endpoint.addresses.values()
    ):
        return True
    ours = context.endpoint.reflector.tls
    return ours is not None and _same_showed(handshake, shown_by(ours.chain))


def _for_any_name(context: EndpointContext, handshake: TLSHandshake) -> bool:
    if tls_kind(handshake) is Kind.PLAIN_HTTP:
        return context.anyone_answers
    beside = (shown_by(other.chain) for other in context.unlisted_at_reflector)
    shown = (*context.vantage.shown_by, *beside)
    return any(_same_showed(handshake, other) for other in shown)


def _same_showed(handshake: TLSHandshake, other: ShownBy) -> bool:
    """Whether who showed this certificate showed the other as well. An authority that everybody
    trusts signs for everybody."""
    is_private = tls_kind(handshake) is not Kind.OTHER_NAME
    return shown_by(handshake.chain).same(other, authority=is_private)


def _subject(address: AddressView) -> ShownBy:
    handshake = address.tls.subject
    return NOBODY if handshake is None else shown_by(handshake.chain)


def leaf_of(address: AddressView) -> str:
    """The hash of the certificate that an address shows; empty where that was not seen."""
    return _leaf(address.tls.subject)


def _leaf(handshake: TLSHandshake | None) -> str:
    """The hash of the certificate that a handshake was shown; empty where that was not seen."""
    return handshake.chain[0].sha256 if handshake is not None and handshake.chain else ""
