# SPDX-License-Identifier: Apache-2.0
"""The TLS step: a handshake over an open TCP connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from probes.net import certificates, tls
from probes.net.classify import alert, failure, kernel_errno
from probes.net.limits import within
from probes.net.network import LATE, SENT_AGAIN, Network, Stream
from probes.steps.context import StepContext, late_evidence
from probes.wire.observation import TLSHandshake

GAP = "gap"
"""Evidence of a handshake that got no answer: parts of one arrived, and not its beginning."""
MOST_WAIT_US = 2_000_000
"""For the word that a packet arrived twice, which comes a round trip after it was sent again."""
LOOK_SECONDS = 0.02


async def handshake(
    step: StepContext,
    stream: Stream,
    *,
    sni: str,
    profile: str = "default",
    trust: str = "",
    verify: bool = True,
    alpn: Sequence[str] = (),
) -> tuple[TLSHandshake, tls.TLSClient]:
    """Return the observation and the client, which is ready for use when there was no failure.

    `sni` may be empty: then no name is shown and the certificate must hold the address.
    The stream stays the caller's to close.
    """
    network = step.network
    client = tls.TLSClient(tls.context_for(profile, trust, verify, alpn), sni or step.address)
    failed: BaseException | None = None
    sent_again = network.packets_sent_again(stream)
    begin = network.clock_us()
    try:
        with within(step.timeout):
            await tls.handshake(stream, client)
    except OSError as error:  # TimeoutError and ssl.SSLError are of this type
        failed = error
    took = network.clock_us() - begin
    refused = isinstance(failed, ssl.SSLCertVerificationError)
    # A server that does not speak TLS has sent no alert, whatever its bytes look like.
    far_alert = None
    if failed is not None and not client.plain_http:
        far_alert = alert(failed)
        if far_alert is None and not refused:
            far_alert = client.alert_in_clear
    gap = isinstance(failed, TimeoutError) and network.misses_segment(stream)
    again = (
        late_evidence(failed) if failed else await _sent_again(network, stream, sent_again, took)
    )
    presented = client.chain() if refused else client.leaf() if failed is None else ()
    observation = TLSHandshake(
        **step.fields(begin, took),
        failure=None if failed is None else failure(failed),
        evidence=(*(GAP,) * gap, *again),
        sni=sni,
        profile=profile,
        hello_bytes=client.hello_bytes,
        sent_bytes=client.sent_bytes,
        received_bytes=client.received_bytes,
        errno=None if failed is None else kernel_errno(failed),
        alert=far_alert,
        plain_http=failed is not None and client.plain_http,
        version=client.version,
        cipher=client.cipher,
        alpn=client.alpn,
        verify_code=_verify_code(failed, verify),
        chain=certificates.observed(presented, whole=refused),
    )
    return observation, client


async def _sent_again(
    network: Network, stream: Stream, before: int, took_us: int
) -> tuple[str, ...]:
    """Evidence of packets that were sent again. The server says of which it had got the first ones,
    late: nothing was lost. Waited for as long as the handshake took."""
    again = network.packets_sent_again(stream) - before
    if not again:
        return ()
    until_us = network.clock_us() + min(took_us, MOST_WAIT_US)
    while network.packets_arrived_twice(stream) < again:
        if network.clock_us() >= until_us:
            return (SENT_AGAIN,)
        await asyncio.sleep(LOOK_SECONDS)
    return (SENT_AGAIN, LATE)


def _verify_code(failed: BaseException | None, verify: bool) -> int | None:
    if isinstance(failed, ssl.SSLCertVerificationError):
        return failed.verify_code
    return 0 if failed is None and verify else None
