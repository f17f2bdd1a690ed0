# SPDX-License-Identifier: Apache-2.0
"""The TCP step: opens one connection to one address."""

from __future__ import annotations

import ipaddress

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
from probes.steps.context import StepContext, icmp_fields, late_evidence
from probes.wire.observation import TCPConnect

ICMP_OWN = "icmp_own"
"""Evidence that this machine itself sent the ICMP error: its own firewall refused."""
ICMP_PRIVATE, ICMP_PUBLIC = "icmp_private", "icmp_public"
"""Evidence of where the sender's address lies, which may be removed later. A private one is the
volunteer's router, or one of the carrier before its NAT; a public one is on the path."""
SYN_AGAIN_US = 1_000_000
"""When a SYN is sent again (RFC 6298, 2.1)."""


async def connect(step: StepContext) -> tuple[TCPConnect, Stream | None]:
    """Return the observation and, after a success, the open stream, which the caller closes."""
    network = step.network
    stream: Stream | None = None
    failed: BaseException | None = None
    begin = network.clock_us()
    try:
        with within(step.timeout):
            stream = await network.connect(step.address, step.port, narrow=step.narrow)
    except (OSError, DestinationRefusedError) as error:
        failed = error
    took = network.clock_us() - begin
    observation = TCPConnect(
        **step.fields(begin, took),
        failure=None if failed is None else failure(failed),
        evidence=_evidence(network, stream, took, failed),
        errno=failed.errno if isinstance(failed, ConnectError) else None,
        **icmp_fields(failed),
    )
    return observation, stream


def _evidence(
    network: Network, stream: Stream | None, took_us: int, failed: BaseException | None
) -> tuple[str, ...]:
    if isinstance(failed, DestinationRefusedError):
        return ("not_dialled",)
    if isinstance(failed, ConnectError) and failed.icmp_from is not None:
        return (_sender(failed.icmp_from, failed.icmp_is_own),)
    if stream is None:
        return late_evidence(failed)
    if not network.packets_sent_again(stream):
        return ()
    # By its timestamp the answer tells to which SYN it came: to the first, when it took no longer.
    round_trip_us = network.round_trip_us(stream)
    late = bool(round_trip_us) and took_us - round_trip_us < SYN_AGAIN_US / 2
    return (SENT_AGAIN, LATE) if late else (SENT_AGAIN,)


def _sender(address: str, is_own: bool) -> str:
    """Who sent an ICMP error."""
    if is_own:
        return ICMP_OWN
    is_public = ipaddress.ip_address(address.partition("%")[0]).is_global
    return ICMP_PUBLIC if is_public else ICMP_PRIVATE
