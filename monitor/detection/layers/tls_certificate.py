# SPDX-License-Identifier: Apache-2.0
"""Whose certificate a server showed: the service's own, an interceptor's at the vantage, or
somebody else's for this name alone.

A service may change its certificates or its authority region by region, and then shows what no
control has seen yet: that a certificate is not the control's proves nothing. Comparisons tell. What
a control is shown as well, by its hash or its key, is the service's own. An interceptor is whom our
own host, where nobody else should answer, shows for our name; at the vantage alone, if for a name
that is on no list either, or if an unrelated host does. A server that shows another name what the
control gets for ours accuses somebody as well, unless it is a server for this region, or one of
several that differ, or the authority is one that the control accepts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from monitor.detection.observed.certificate import NOBODY, ShownBy, shown_by
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, Kind, tls_kind
from monitor.detection.observed.view import AddressView
from probes.wire.observation import TLSHandshake


class ShownCertificate(msgspec.Struct, frozen=True, gc=False):
    """What is known of the certificate that a server showed."""

    at_control: bool = False
    """The control saw the same certificate, or another of the same key."""
    system_root: bool = False
    """It is valid under a root of the vantage's system alone."""
    page: str | None = None
    """Fingerprint of the block page behind it."""
    at_our_host: bool = False
    """Our own host shows it for our name as well, or another of the same authority."""
    our_name_alone: bool = False
    """Beside it, a name that nobody has is shown another certificate there."""
    another_passes: bool = False
    """Another name gets from this server what the control gets for ours, and nothing else explains
    this."""
    for_any_name: bool = False
    """A liveness host, or our own host for a name that nobody has, shows the same authority; or
    there, or at several liveness hosts, an answer is in clear text as well."""
    unseen: bool = False
    """It was shown at addresses alone that no control saw."""

    @property
    def foreign(self) -> bool:
        """A comparison shows that it is not the service's own."""
        return self.at_our_host or self.another_passes or self.page is not None

    @property
    def is_untold(self) -> bool:
        """No comparison shows whose it is."""
        return not (self.foreign or self.at_control or self.for_any_name)


NO_CERTIFICATE = ShownCertificate()


def shown_certificate(
    context: EndpointContext,
    address: AddressView,
    handshake: TLSHandshake,
    there: Sequence[AddressView],
) -> ShownCertificate:
    """Compare what a handshake was shown. `there`: the addresses at which controls shook hands."""
    kind, mine = tls_kind(handshake), shown_by(handshake.chain)
    theirs = [_subject(other) for other in there]
    shown = ShownCertificate(
        at_control=_is_theirs(mine, theirs), system_root="system_root" in handshake.evidence
    )
    page = context.page(address.unverified) if address.unverified else None
    if kind is Kind.PLAIN_HTTP:
        return msgspec.structs.replace(shown, page=page, for_any_name=context.anyone_answers)
    if kind not in CERTIFICATE_KINDS:
        return shown
    at_our_host, for_any_name = _at_our_host(context, handshake), _for_any_name(context, handshake)
    is_known = shown.at_control or _by_their_authority(handshake, there)
    unseen = all(
        context.unseen(other)
        for other in context.endpoint.addresses.values()
        if _subject(other).leaf == mine.leaf
    )
    return msgspec.structs.replace(
        shown,
        page=page,
        at_our_host=at_our_host,
        our_name_alone=at_our_host
        and not for_any_name
        and any(other.chain for other in context.unlisted_at_reflector),
        another_passes=not (is_known or unseen) and _another_passes(context, handshake, theirs),
        for_any_name=for_any_name,
        unseen=unseen,
    )


def _at_our_host(context: EndpointContext, handshake: TLSHandshake) -> bool:
    ours = context.endpoint.reflector.tls
    return ours is not None and _same_showed(handshake, shown_by(ours.chain))


def _another_passes(
    context: EndpointContext, handshake: TLSHandshake, theirs: Collection[ShownBy]
) -> bool:
    """Whether another name is shown what controls get for ours (`theirs`), each time, and our name
    never: the servers behind an address may differ. It may have been at another address of the
    endpoint, which is intercepted alike."""
    alike = [
        other
        for other in context.endpoint.addresses.values()
        if _same_showed(handshake, _subject(other))
    ]
    ours = [again for other in alike for again in other.looked_past]
    others = [another for other in alike for another in other.tls.every_innocuous]
    differ = any(_is_theirs(shown_by(again.chain), theirs) for again in ours)
    passes = [_is_theirs(shown_by(another.chain), theirs) for another in others]
    return not differ and any(passes) and all(passes)


def _by_their_authority(handshake: TLSHandshake, there: Sequence[AddressView]) -> bool:
    """Whether an authority signed it that a control accepts for the service and that is private:
    one that everybody trusts signs for everybody."""
    mine = shown_by(handshake.chain)
    return tls_kind(handshake) is Kind.CA_SIGNED and any(
        mine.same_authority(_subject(other)) for other in there if other.tls.kind is Kind.OK
    )


def _for_any_name(context: EndpointContext, handshake: TLSHandshake) -> bool:
    beside = (shown_by(other.chain) for other in context.unlisted_at_reflector)
    return any(_same_showed(handshake, other) for other in (*context.vantage.shown_by, *beside))


def _same_showed(handshake: TLSHandshake, other: ShownBy) -> bool:
    """Whether who showed this certificate showed the other as well. An authority that everybody
    trusts signs for everybody."""
    is_private = tls_kind(handshake) is not Kind.OTHER_NAME
    return shown_by(handshake.chain).same(other, authority=is_private)


def _is_theirs(mine: ShownBy, theirs: Collection[ShownBy]) -> bool:
    return any(mine.same(other, authority=False) for other in theirs)


def _subject(address: AddressView) -> ShownBy:
    handshake = address.tls.subject
    return NOBODY if handshake is None else shown_by(handshake.chain)


def leaf_of(address: AddressView) -> str:
    """The hash of the certificate that an address shows; empty where that was not seen."""
    return _subject(address).leaf
