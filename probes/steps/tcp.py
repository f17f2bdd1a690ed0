# SPDX-License-Identifier: Apache-2.0
"""The TCP step: opens one connection to one address."""

from __future__ import annotations

from probes.net.classify import failure
from probes.net.limits import within
from probes.net.network import (
    LATE,
    SENT_AGAIN,
    ConnectError,
    DestinationRefusedError,
    Network,
    Stream,
)
from probes.wire.observation import Contrast, Purpose, TCPConnect

SYN_AGAIN_US = 1_000_000
"""When a SYN is sent again (RFC 6298, 2.1)."""


async def connect(
    network: Network,
    *,
    endpoint: str,
    address: str,
    port: int,
    started_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    timeout: float = 10.0,
) -> tuple[TCPConnect, Stream | None]:
    """Return the observation and, after a success, the open stream, which the caller closes.

    `timeout` is in seconds; ten let a lost SYN be sent three times more.
    """
    stream: Stream | None = None
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(timeout):
            stream = await network.connect(address, port)
    except (OSError, DestinationRefusedError) as error:
        failed = error
    took = network.clock_us() - begin
    icmp = failed if isinstance(failed, ConnectError) else None
    observation = TCPConnect(
        endpoint=endpoint,
        purpose=purpose,
        contrast=contrast,
        at_us=begin - started_us,
        took_us=took,
        failure=None if failed is None else failure(failed),
        evidence=_evidence(network, stream, took, failed),
        address=address,
        port=port,
        errno=icmp.errno if icmp else None,
        icmp_type=icmp.icmp_type if icmp else None,
        icmp_code=icmp.icmp_code if icmp else None,
        icmp_from=icmp.icmp_from if icmp else None,
    )
    return observation, stream


def _evidence(
    network: Network, stream: Stream | None, took_us: int, failed: BaseException | None
) -> tuple[str, ...]:
    if isinstance(failed, DestinationRefusedError):
        return ("not_dialled",)
    if stream is None or not network.packets_sent_again(stream):
        return ()
    # By its timestamp the answer tells to which SYN it came: to the first, when it took no longer.
    round_trip_us = network.round_trip_us(stream)
    late = bool(round_trip_us) and took_us - round_trip_us < SYN_AGAIN_US / 2
    return (SENT_AGAIN, LATE) if late else (SENT_AGAIN,)
