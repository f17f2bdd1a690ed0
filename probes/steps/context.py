# SPDX-License-Identifier: Apache-2.0
"""What every step at an address is told, and what its observation says of it in any case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from probes.net.classify import failure, kernel_errno
from probes.net.limits import MachineLateError
from probes.net.network import ConnectError, Network
from probes.wire.observation import MACHINE_LATE, Contrast, Purpose


@dataclass(frozen=True, slots=True)
class StepContext:
    """A step at one address."""

    network: Network
    endpoint: str
    """Id of the endpoint."""
    address: str
    port: int
    started_us: int
    """Start of the measurement, by the network's clock."""
    purpose: Purpose = Purpose.SUBJECT
    contrast: Contrast | None = None
    timeout: float = 10.0
    """For the whole step, in seconds. Ten let a lost SYN be sent three times more."""
    narrow: bool = False
    """A connection is opened for little (`probes.net.network.Network.connect`)."""

    def fields(self, begin_us: int, took_us: int) -> dict[str, Any]:
        """The fields that the observations of all these steps have."""
        return {
            "endpoint": self.endpoint,
            "purpose": self.purpose,
            "contrast": self.contrast,
            "at_us": begin_us - self.started_us,
            "took_us": took_us,
            "address": self.address,
            "port": self.port,
        }


def failure_fields(failed: BaseException | None) -> dict[str, Any]:
    """The fields for what ended a step; `failed` is None when it succeeded."""
    if failed is None:
        return {}
    return {"failure": failure(failed), "errno": kernel_errno(failed)}


def late_evidence(failed: BaseException | None) -> tuple[str, ...]:
    """The evidence that a silence may be this machine's own."""
    return (MACHINE_LATE,) if isinstance(failed, MachineLateError) else ()


def icmp_fields(failed: BaseException | None) -> dict[str, Any]:
    """The fields for the ICMP message that ended a step."""
    if not isinstance(failed, ConnectError):
        return {}
    return {
        "icmp_type": failed.icmp_type,
        "icmp_code": failed.icmp_code,
        "icmp_from": failed.icmp_from,
    }
