# SPDX-License-Identifier: Apache-2.0
"""Which names die at an address, and at an address of ours: whether the name is blocked, or the
address.

Two contrasts show it: an innocuous name at the service's address, and the service's name at our own
reflector, beside an innocuous one there.
"""

from __future__ import annotations

import msgspec

from monitor.detection.observed.endpoint_context import AFTER_TRIGGER, EndpointContext
from monitor.detection.observed.kinds import DEATHS, Kind, reached, tcp_kind, tls_kind
from monitor.detection.observed.view import AddressView, EndpointView
from probes.wire.observation import TLSHandshake

NAME_FAILS_ANYWHERE = "name_fails_anywhere"
"""Evidence that the service's name fails in the same way at our own host, where an innocuous one
passes."""
NAME_PASSES_AT_OURS = "name_passes_at_ours"
"""Evidence that it dies at the service's address, where another passes, and not at our own host."""
_HANGS_UP = (Kind.EOF, Kind.RESET)


class TLSContrasts(msgspec.Struct, frozen=True, gc=False):
    """How a handshake with the service's name ended, and how its contrasts did."""

    kind: Kind
    innocuous: Kind | None = None
    reflector: Kind | None = None
    """The service's name at an address of ours; None also where that fails for every name."""
    tainted: bool = False
    """The innocuous name was sent after ours: a censor that blocks the pair of addresses for
    minutes (residual censorship) blocks it as well."""
    any_name: bool = False
    """At our own host a name that nobody has dies in the same way, and a known one passes."""
    any_host: bool = False
    """At our own host, which nobody but probes knows, whatever name is shown dies in the same way,
    and none passed there in this round."""

    @property
    def innocuous_passes(self) -> bool:
        """Another name at the same address gets further than ours. A server that accepts no other
        name may refuse it by an alert, or hang up: either is an answer, where ours gets none."""
        kind = self.innocuous
        answered = kind is Kind.ALERT or (kind in _HANGS_UP and self.kind is Kind.TIMEOUT)
        return kind is not None and (reached(kind) or (answered and self.kind is not kind))

    @property
    def reflector_dies(self) -> bool:
        """Our name to our own host fails in the same way."""
        return self.reflector is not None and self.reflector is self.kind

    @property
    def by_name(self) -> bool:
        """They show filtering by name."""
        return self.innocuous_passes or self.reflector_dies

    @property
    def whatever_name(self) -> bool:
        """They show that the address is blocked, whatever the name. When the innocuous name was
        sent second, only if ours passes at our reflector."""
        passes_elsewhere = self.reflector is not None and reached(self.reflector)
        compared = self.innocuous is not None and not self.by_name
        return compared and (passes_elsewhere or not self.tainted)

    @property
    def residual_possible(self) -> bool:
        """A block by name, continued for minutes, may look like a block of the address."""
        return self.tainted and self.innocuous is not None and not self.by_name


def tls_contrasts(context: EndpointContext, address: AddressView, kind: Kind) -> TLSContrasts:
    """Return the contrasts of a handshake at an address that ended in this way."""
    return TLSContrasts(
        kind,
        innocuous=_innocuous_kind(address, kind),
        reflector=_reflector_kind(context),
        tainted=_tainted(address),
        any_name=kind in DEATHS and _any_name(context, kind),
        any_host=kind in DEATHS and _any_host(context, kind),
    )


def _any_host(context: EndpointContext, kind: Kind) -> bool:
    """Whether names died in this way at our own host before the service's was shown there. A censor
    that goes on blocking our host for minutes, after it saw the name of another service there, let
    an earlier handshake of the round pass."""
    ours = context.endpoint.reflector.tls
    if ours is None or context.vantage.background.reflector_passed:
        return False
    if not context.reflector_fails((ours.address, ours.port), _ours, _another):
        return False
    before = [seen for seen in context.unlisted_at_reflector if seen.at_us < ours.at_us]
    return len({seen.sni for seen in before}) > 1 and all(tls_kind(s) is kind for s in before)


def _any_name(context: EndpointContext, kind: Kind) -> bool:
    """Whether a name always died in this way at our own host, and another passed there after it: so
    nothing blocks our host, for minutes or for good, but who is on no list."""
    shown: dict[str, list[TLSHandshake]] = {}
    for handshake in context.unlisted_at_reflector:
        shown.setdefault(handshake.sni, []).append(handshake)
    died = [
        min(handshake.at_us for handshake in handshakes)
        for handshakes in shown.values()
        if all(tls_kind(handshake) is kind for handshake in handshakes)
    ]
    passed = [
        handshake.at_us
        for handshakes in shown.values()
        for handshake in handshakes
        if reached(tls_kind(handshake))
    ]
    return bool(died) and any(min(died) < at_us for at_us in passed)


def name_fails_anywhere(context: EndpointContext, contrasts: TLSContrasts) -> bool:
    """Whether our name dies in the same way at our own host, where an innocuous one passes."""
    ours = context.endpoint.reflector.tls
    if ours is None or not contrasts.reflector_dies or contrasts.kind not in DEATHS:
        return False
    if contrasts.any_name:
        return False
    views = (endpoint.addresses.get((ours.address, ours.port)) for endpoint in context.siblings)
    return any(view is not None and _another(view) is True for view in views)


def name_passes_at_ours(contrasts: TLSContrasts) -> bool:
    """Whether our name dies where another passes, and passes at our own host."""
    ours = contrasts.reflector
    return (
        contrasts.kind in DEATHS
        and contrasts.innocuous_passes
        and ours is not None
        and reached(ours)
    )


def name_filtered(context: EndpointContext, address: AddressView) -> bool:
    """Whether the handshake at an address fails for our name only."""
    kind = address.tls.kind
    return kind in DEATHS and tls_contrasts(context, address, kind).by_name


def _reflector_kind(context: EndpointContext) -> Kind | None:
    handshake = context.endpoint.reflector.tls
    if handshake is None:
        return None
    if context.reflector_fails((handshake.address, handshake.port), _ours, _another):
        return None
    return tls_kind(handshake)


def _ours(endpoint: EndpointView) -> bool:
    return endpoint.reflector.tls is not None and reached(tls_kind(endpoint.reflector.tls))


def _another(reflector: AddressView) -> bool | None:
    if reflector.tls.innocuous_kind is not None:
        return reached(reflector.tls.innocuous_kind)
    return None if reflector.tcp.innocuous is None else False


def _innocuous_kind(address: AddressView, kind: Kind) -> Kind | None:
    """How the handshake with an innocuous name ended. Where ours died in the same way as already
    the connect before it, so did any name; None when there was none."""
    if address.tls.innocuous is not None:
        return address.tls.innocuous_kind
    before = address.tcp.innocuous
    return kind if before is not None and tcp_kind(before) is kind else None


def _tainted(address: AddressView) -> bool:
    """Our name was sent to this address before the innocuous one."""
    innocuous = address.tls.innocuous or address.tcp.innocuous
    if not address.tls.tried or innocuous is None:
        return False
    first = min(handshake.at_us for handshake in address.tls.every)
    return innocuous.at_us > first or AFTER_TRIGGER in innocuous.evidence
