# SPDX-License-Identifier: Apache-2.0
"""`quic`: every address completes a QUIC handshake with a valid certificate for the name.

On failure one thing is changed at a time: a fresh port, an innocuous name at the same address, the
service's name at our reflector, TCP and TLS in place of QUIC. Success says that the server speaks
QUIC for this name, nothing of what it would answer to an app. A censor of QUIC goes on blocking an
address pair for minutes, so where the last round failed the innocuous name goes first.
"""

from __future__ import annotations

import functools
import logging

from probes.contrasts.sni import AFTER_TRIGGER
from probes.endpoint.endpoint_run import Visit
from probes.net import quic
from probes.net.resolvers import parse_authority
from probes.wire.observation import Contrast, Purpose, QUICHandshake

log = logging.getLogger(__name__)

MAX_CONTRASTED = 4
"""Addresses of one endpoint that get the innocuous name and TCP; the others only a repeat."""
_TCP_ALPN = ("h2", "http/1.1")


async def measure(visit: Visit) -> None:
    """Resolve, shake hands; ask the other resolvers when no own answer proved itself."""
    if not quic.available():
        _say_once()
        return
    addresses = await visit.addresses()
    proven = await visit.each(addresses, _reach)
    if not any(ok for a, ok in zip(addresses, proven, strict=True) if a in visit.own):
        await visit.each(await visit.more_addresses(), _reach)


@functools.cache
def _say_once() -> None:
    log.warning(
        "endpoints of protocol quic are skipped: this probe has no QUIC "
        "(pip install 'reachwatch[%s]')",
        quic.EXTRA,
    )


async def _reach(visit: Visit, address: str) -> bool:
    """Return whether the address proved itself."""
    contrasted = visit.contrasts and any(
        visit.first_time(f"contrasts {i}") for i in range(MAX_CONTRASTED)
    )
    innocuous_done = contrasted and visit.failed_before
    if innocuous_done:
        await _innocuous(visit, address)
    seen = await visit.shake_quic(address)
    if not _may_be_interference(seen):
        return seen.failure is None
    if visit.repeats:
        why, kind = Purpose.CONTRAST, Contrast.REPEAT
        if (await visit.shake_quic(address, purpose=why, contrast=kind)).failure is None:
            return True
    if not visit.contrasts:
        return False
    if contrasted and not innocuous_done:
        await _innocuous(visit, address)
    if visit.sni.address and visit.endpoint.server_name and visit.first_time("reflector"):
        await _reflector(visit)
    if contrasted:
        await _over_tcp(visit, address)
    return False


def _may_be_interference(seen: QUICHandshake) -> bool:
    """Not for a success, someone else's certificate, or a destination that was not dialled."""
    return (
        seen.failure is not None
        and not seen.verify_code
        and "not_dialled" not in seen.evidence
        and (seen.sent_bytes > 0 or seen.icmp_type is not None)
    )


async def _innocuous(visit: Visit, address: str) -> None:
    """Show an innocuous name to the service's address; any certificate will do."""
    name = visit.sni.innocuous
    if name and name != visit.endpoint.server_name:
        why, kind = Purpose.CONTRAST, Contrast.INNOCUOUS_NAME
        seen = await visit.shake_quic(address, name=name, purpose=why, contrast=kind, verify=False)
        if visit.cooling:
            visit.remark(seen, AFTER_TRIGGER)


async def _reflector(visit: Visit) -> None:
    """Show the service's name to an address of ours, which completes QUIC for any name."""
    address, port = parse_authority(visit.sni.address, 443)
    why, kind = Purpose.CONTRAST, Contrast.REFLECTOR
    await visit.shake_quic(address, port=port, purpose=why, contrast=kind, verify=False)


async def _over_tcp(visit: Visit, address: str) -> None:
    """TCP and TLS to the same address: a contrast in which only the transport is another."""
    link = await visit.connect(address, purpose=Purpose.CONTRAST)
    (await visit.shake(link, purpose=Purpose.CONTRAST, alpn=_TCP_ALPN)).close()
