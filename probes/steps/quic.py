# SPDX-License-Identifier: Apache-2.0
"""The QUIC step: a handshake with one address, from a new UDP port."""

from __future__ import annotations

from collections.abc import Sequence

from probes.net import certificates, quic
from probes.net.classify import certificate_failure, failure, kernel_errno
from probes.net.limits import within
from probes.net.network import DestinationRefusedError
from probes.steps.context import StepContext, icmp_fields, late_evidence
from probes.wire.failure import Failure, unknown_failure
from probes.wire.observation import QUICHandshake


async def handshake(
    step: StepContext, *, sni: str, trust: str = "", verify: bool = True, alpn: Sequence[str] = ()
) -> QUICHandshake:
    """Return the observation. `sni` may be empty: then no name is shown and the certificate must
    hold the address. Needs the extra `quic` (`quic.available`).
    """
    network = step.network
    client = quic.QUICClient(sni or step.address, trust_pem=trust, verify=verify, alpn=alpn)
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(step.timeout):
            datagrams = await network.datagrams(step.address, step.port, icmp=True)
            try:
                await quic.handshake(datagrams, client, lambda: network.clock_us() / 1e6)
            finally:
                datagrams.close()
    except (OSError, DestinationRefusedError, quic.QUICError) as error:
        failed = error
    took = network.clock_us() - begin
    return QUICHandshake(
        **step.fields(begin, took),
        failure=_failure(client, failed),
        evidence=("not_dialled",)
        if isinstance(failed, DestinationRefusedError)
        else late_evidence(failed),
        sni=sni,
        sent_bytes=client.sent_bytes,
        received_bytes=client.received_bytes,
        errno=None if failed is None else kernel_errno(failed),
        **icmp_fields(failed),
        close_code=client.close_code,
        version=client.version,
        alpn=client.alpn,
        verify_code=client.verify_code,
        chain=certificates.observed(client.chain(), whole=bool(client.verify_code)),
    )


def _failure(client: quic.QUICClient, failed: BaseException | None) -> str | None:
    if failed is not None:
        return failure(failed)
    if client.verify_code:
        return certificate_failure(client.verify_code)
    if client.confirmed:
        return None
    if client.no_version:
        return Failure.QUIC_INCOMPATIBLE_VERSION
    code = client.own_code if client.close_code is None else client.close_code
    if code is None:
        return unknown_failure("quic ended")
    if quic.is_alert(code):
        return Failure.SSL_FAILED_HANDSHAKE
    return Failure.ABORTED if client.own_code is None else unknown_failure(f"quic error {code}")
