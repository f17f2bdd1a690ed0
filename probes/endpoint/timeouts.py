# SPDX-License-Identifier: Apache-2.0
"""Every time limit of a round, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Time limits in seconds. The defaults outlast three lost packets in a row."""

    dns: float = 5.0
    """Until one nameserver counts as silent; glibc's default (resolv.conf(5))."""
    window: float = 3.0
    """How long UDP listens for second answers; an injected answer races the genuine one."""
    subject: float = 10.0
    """For each step that the app would take: a lost SYN is sent again after 1, 3 and 7 s."""
    contrast: float = 5.0
    """For each step of a contrast."""
    transfer: float = 8.0
    """For one transfer: 64 kB at 64 kbit/s."""
    silence: float = 4.0
    """Without a byte until a stream counts as frozen."""
    endpoint: float = 60.0
    """For one endpoint as a whole; in a lean round once more for the other addresses, after a
    failure at the first."""
    hop: float = 1.0
    """For one answer to a packet with a limited TTL."""
    path: float = 15.0
    """For finding the hop at which an interference acts."""
    residual: float = 180.0
    """After a trigger a censor may block a pair of addresses for so long, whatever the name: 60
    to 180 s were seen (Bock et al., WOOT 2021)."""
    round: float = 600.0
    """No endpoint starts later than this in a round."""

    @property
    def dns_tail(self) -> float:
        """Longest time that a lookup can run after its endpoint: three silent nameservers (glibc
        asks no more), then the listening window."""
        return 3 * self.dns + self.window
