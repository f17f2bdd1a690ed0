# SPDX-License-Identifier: Apache-2.0
"""Simulated blocks: the network, the beginning, the share of connections, with or without a
signature."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.world.verdicts import NO_SIGNS, Look, Signs

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Block:
    """One block of the target in one network."""

    asn: int
    onset: int
    share: float = 0.98
    """Share of the measurements that fail."""
    signature: bool = True
    ramp: int = 0
    """Ms from nothing to the whole share."""
    until: int | None = None
    """When it is lifted; never when None."""
    whom: frozenset[int] | None = None
    """Indices of the vantages behind the box that blocks; all of the network when None."""
    named: bool = True
    """Whether whoever blocks reads the name on the way to any host, our own included."""
    natural: bool = False
    """No block but a fault: its failures look like others that are none."""
    pause: int = 0
    """Ms at the end of each of its hours in which it lets everything pass."""
    weaker: tuple[int, float] | None = None
    """From when on it blocks another share, and which."""
    look: Look | None = None
    """What its failures look like; None: by name with a signature, else silence."""
    signs: Signs = NO_SIGNS

    def concerns(self, index: int, asn: int) -> bool:
        """Whether a vantage of a network is behind it."""
        return asn == self.asn and (self.whom is None or index in self.whom)

    def rate(self, started: int) -> float:
        """The share that fails at a time."""
        if started < self.onset or (self.until is not None and started >= self.until):
            return 0.0
        if (started - self.onset) % HOUR_MS >= HOUR_MS - self.pause:
            return 0.0
        if self.weaker is not None and started >= self.weaker[0]:
            return self.weaker[1]
        if self.ramp:
            return self.share * min(1.0, (started - self.onset) / self.ramp)
        return self.share


@dataclass(frozen=True)
class Scenario:
    """A kind of block whose delay is measured."""

    name: str
    share: float = 0.98
    signature: bool = True
    ramp_hours: int = 0
    horizon_hours: float = 30.0
    """How long is waited for an alarm."""
    natural: bool = False
    """A fault and no block."""
    pause_minutes: int = 0
    """Minutes of each hour in which it lets everything pass."""
    weakens_to: float | None = None
    """After its first hour it blocks this share."""

    def block(self, asn: int, onset: int) -> Block:
        """This kind of block, somewhere."""
        return Block(
            asn,
            onset,
            self.share,
            self.signature,
            self.ramp_hours * HOUR_MS,
            pause=self.pause_minutes * 60_000,
            weaker=None if self.weakens_to is None else (onset + HOUR_MS, self.weakens_to),
        )


FULL = Scenario("full, with signature")
BLACKHOLE = Scenario("full, without signature", signature=False)
PEERING = Scenario("peering fault", share=0.7, natural=True)
STRONG = Scenario("60 % of flows, with signature", share=0.6)
MOST = Scenario("70 % of flows, without signature", share=0.7, signature=False)
THIRD = Scenario("30 % of flows, with signature", share=0.3)
FLAPPING = Scenario("full, with signature, pauses for 10 min an hour", pause_minutes=10)
WEAKENS = Scenario("full, with signature, after an hour 30 % of flows", weakens_to=0.3)
HALF = Scenario("50 % of flows, with signature", share=0.5)
HALF_BARE = Scenario("50 % of flows, without signature", share=0.5, signature=False)
TENTH = Scenario("10 % of flows, with signature", share=0.1)
RAMP = Scenario("ramp 0 to 98 % over 24 h, with signature", ramp_hours=24)
