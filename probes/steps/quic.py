# SPDX-License-Identifier: Apache-2.0
"""The QUIC step: a handshake with one address, from a new UDP port."""

from __future__ import annotations

from collections.abc import Sequence

from probes.net import certificates, quic
from probes.net.classify import certificate_failure, failure, kernel_errno
from probes.net.limits import within
from probes.net.network import ConnectError, DestinationRefusedError, Network
from probes.wire.failure import Failure, unknown_failure
from probes.wire.observation import Contrast, Purpose, QUICHandshake


async def handshake(
    network: Network,
    *,
    endpoint: str,
    address: str,
    port: int,
    sni: str,
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    trust: str = "",
    verify: bool = True,
    alpn: Sequence[str] = (),
    timeout: float = 10.0,
) -> QUICHandshake:
    """Return the observation. `sni` may be empty: then no name is shown and the certificate must
    hold the address. `timeout` is in seconds. Needs the extra `quic` (`quic.available`).
    """
    client = quic.QUICClient(sni or address, trust_pem=trust, verify=verify, alpn=alpn)
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(timeout):
            datagrams = await network.datagrams(address, port, icmp=True)
            try:
                await quic.handshake(datagrams, client, lambda: network.clock_us() / 1e6)
            finally:
                datagrams.close()
    except (OSError, DestinationRefusedError, quic.QUICError) as error:
        failed = error
    took = network.clock_us() - begin
    icmp = failed if isinstance(failed, ConnectError) else None
    return QUICHandshake(
        endpoint=endpoint,
        purpose=purpose,
        contrast=contrast,
        at_us=begin - started_us,
        took_us=took,
        failure=_failure(client, failed),
        evidence=("not_dialled",) if isinstance(failed, DestinationRefusedError) else (),
        address=address,
        port=port,
        sni=sni,
        sent_bytes=client.sent_bytes,
        received_bytes=client.received_bytes,
        errno=None if failed is None else kernel_errno(failed),
        icmp_type=icmp.icmp_type if icmp else None,
        icmp_code=icmp.icmp_code if icmp else None,
        icmp_from=icmp.icmp_from if icmp else None,
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
