# SPDX-License-Identifier: Apache-2.0
"""How long the probe waits for whom: every time limit of a round, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Time limits in seconds. The defaults outlast three lost packets in a row."""

    dns: float = 5.0
    """Until one nameserver counts as silent; glibc's default (resolv.conf(5))."""
    window: float = 3.0
    """UDP listens so long for second answers; injected ones race the real one."""
    subject: float = 10.0
    """For each step that the app would take: a lost SYN is sent again after 1, 3 and 7 s."""
    contrast: float = 5.0
    """For each step of a contrast: the time without one is known by then."""
    transfer: float = 8.0
    """For one transfer of bytes: 64 kB at 64 kbit/s."""
    silence: float = 4.0
    """Without a byte in mid-stream until it counts as frozen."""
    endpoint: float = 60.0
    """For everything that is done at one endpoint."""
    hop: float = 1.0
    """For one answer to a packet that may live for a few hops only."""
    path: float = 15.0
    """For finding out at how many hops an interference acts."""
    residual: float = 180.0
    """A censor may go on blocking a pair of addresses for so long after a trigger, whatever is
    said there: 60 to 180 s were seen (reference: detection, R1)."""
    round: float = 600.0
    """No endpoint begins later than this in a round."""

    @property
    def dns_tail(self) -> float:
        """Longest that a lookup can outlive its endpoint: three silent nameservers (glibc asks
        no more), then the listening window."""
        return 3 * self.dns + self.window
