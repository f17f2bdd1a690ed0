# SPDX-License-Identifier: Apache-2.0
"""`quic`: every address completes a QUIC handshake with a valid certificate for the name.

On failure one thing is changed at a time: a new port, an innocuous name at the same address, the
service's name at our reflector (after an innocuous one), TCP and TLS in place of QUIC. After an
innocuous name passed the service's is shown once more, at our reflector too: silence before it may
be that of a line that was away, and each further attempt makes chance less likely. Success
shows that the server speaks QUIC for this name, not what it would answer to an app. A censor of
QUIC may block a pair of addresses for minutes, so where the last round failed the innocuous name
goes first.
"""

from __future__ import annotations

import functools
import logging

from probes.contrasts.tls_contrasts import AFTER_TRIGGER, MAX_CONTRASTED
from probes.endpoint.endpoint_run import EndpointRun
from probes.net import quic
from probes.net.resolvers import parse_authority
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, Purpose, QUICHandshake

log = logging.getLogger(__name__)

_TCP_ALPN = ("h2", "http/1.1")


async def measure(run: EndpointRun) -> None:
    """Resolve and do a handshake; ask the other resolvers when no address of the machine's own
    resolver proved itself by its certificate."""
    if not quic.available():
        _warn_once()
        return
    addresses = await run.addresses.first()
    proven = await run.for_each_address(addresses, _reach)
    own = run.addresses.system
    if not any(ok for a, ok in zip(addresses, proven, strict=True) if a in own):
        await run.for_each_address(await run.addresses.of_references(), _reach)


@functools.cache
def _warn_once() -> None:
    log.warning(
        "endpoints of protocol quic are skipped: QUIC is not installed "
        "(pip install 'reachwatch[%s]')",
        quic.EXTRA,
    )


async def _reach(run: EndpointRun, address: str) -> bool:
    """Return whether the address proved itself."""
    contrasted = run.course.contrasts and run.up_to("contrasts", MAX_CONTRASTED)
    innocuous_first = contrasted and run.course.failed_last_round
    if innocuous_first:
        await _innocuous(run, address)
    seen = await run.quic_handshake(address)
    if not _may_be_interference(seen):
        return seen.failure is None
    if run.course.repeats:
        again = run.quic_handshake(address, contrast=Contrast.REPEAT)
        repeated = await run.again(seen.failure == Failure.TIMEOUT, address, again, udp=True)
        if repeated.failure is None:
            return True
    if not run.course.contrasts:
        return False
    silent = seen.failure == Failure.TIMEOUT and run.course.repeats and run.course.looks_closer
    passes = contrasted and not innocuous_first and await _innocuous(run, address)
    # What died before another name passed may have died of the line.
    if passes and silent and await _repeat(run, address):
        return True
    if run.sni.address and run.endpoint.server_name and run.once("reflector"):
        await _at_reflector(run, again=silent)
    if contrasted:
        await _over_tcp(run, address)
    return False


def _may_be_interference(seen: QUICHandshake) -> bool:
    """False for a success, for someone else's certificate, and for an address not dialled."""
    return (
        seen.failure is not None
        and not seen.verify_code
        and "not_dialled" not in seen.evidence
        and (seen.sent_bytes > 0 or seen.icmp_type is not None)
    )


async def _repeat(run: EndpointRun, address: str) -> bool:
    """The same handshake from a new port; True when it proved the address."""
    return (await run.quic_handshake(address, contrast=Contrast.REPEAT)).failure is None


async def _at_reflector(run: EndpointRun, *, again: bool) -> None:
    """Show the service's name to our own host, and once more (`again`) when it gets no answer where
    another does."""
    host, port = parse_authority(run.sni.address, 443)
    passes = await _innocuous(run, host, port)  # first: does QUIC pass at all?
    for _ in range(2 if again and passes else 1):
        seen = await run.quic_handshake(host, port=port, contrast=Contrast.REFLECTOR, verify=False)
        if seen.failure != Failure.TIMEOUT:
            return


async def _innocuous(run: EndpointRun, address: str, port: int | None = None) -> bool:
    """Show an innocuous name to the service's address, or to our reflector; any certificate
    passes. Returns whether it did."""
    name, kind = run.sni.innocuous, Contrast.INNOCUOUS_NAME
    if not name or name == run.endpoint.server_name:
        return False
    seen = await run.quic_handshake(address, port=port, name=name, contrast=kind, verify=False)
    if run.course.residual:
        run.add_evidence(seen, AFTER_TRIGGER)
    return seen.failure is None


async def _over_tcp(run: EndpointRun, address: str) -> None:
    """TCP and TLS with the same address: a contrast that changes the transport only."""
    connection = await run.connect(address, purpose=Purpose.CONTRAST)
    (await run.tls_handshake(connection, purpose=Purpose.CONTRAST, alpn=_TCP_ALPN)).close()
