# SPDX-License-Identifier: Apache-2.0
"""The simulated internet of `reachwatch up --demo`: real DNS, TLS and HTTP servers on loopback.

Every address is in one random 127.a.b.0/24, every name ends in `.test` (RFC 6761), so nothing of
the demonstration can leave the machine. It imports nothing of probes, verdicts or
events: the ordinary probe and detector find the block.
"""

from __future__ import annotations

WORDS = (
    "Every probe, network and service on this page is simulated on this machine; nothing was "
    "measured on the internet, and nobody is accused of anything."
)
"""What pages say of a store in which everything is simulated."""
