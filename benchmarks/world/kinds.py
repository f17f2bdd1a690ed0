# SPDX-License-Identifier: Apache-2.0
"""Kinds of worlds that differ in their faults. What is not known of a kind is drawn anew for every
seed, uniform between bounds, so that no figure rests on one choice.

Bounds are assumptions. A fault of 20 to 90 minutes concerns a share of all destinations that is
drawn from 20 to 100 %, the share of liveness hosts behind the same path; or the target alone, when
the network exchanges traffic with the service directly. Faults with a signature have a device as
their cause that resets connections. It stands before more than one service: fewer of them concern
the target alone. Most such devices read no name, so an innocuous name to the same server is reset
as well. Up to a fifth do, as a filter with a wrong entry does; in `BY_NAME` all of them.
"""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.world.rates import RATES, Rates, Trouble

NOMINAL, BURSTS, SIGNED, MORE_SIGNED = "nominal", "bursts", "signed 15 %", "signed 30 %"
UPSTREAM, NATIONAL, OWNER, LOOKALIKE = "upstream", "national", "one owner", "lookalike 15 %"
BY_NAME, HIDDEN = "signed 30 %, by name", "signed 30 %, alone"
WORST = (BY_NAME, HIDDEN)
"""What nothing that is measured tells from a block: a fault that reads names, of the target alone.
"""
KINDS = (NOMINAL, BURSTS, SIGNED, MORE_SIGNED, UPSTREAM, NATIONAL, OWNER, LOOKALIKE)
_MINUTES = (20.0, 90.0)


def drawn(kind: str, seed: int) -> Rates:
    """The rates of one world of a kind."""
    rng = random.Random(f"kind {kind} {seed}")
    if kind == NOMINAL:
        return RATES

    def fault(low: float, high: float, signed: float = 0.0) -> Trouble:
        return Trouble(
            yearly=rng.uniform(low, high),
            minutes=55,
            fails=0.5,
            fails_most=1.0,
            between=_MINUTES,
            alone=rng.uniform(0.0, 0.3),
            signed=signed,
            signed_alone=1.0 if kind == HIDDEN else rng.uniform(0.0, 0.1),
            by_name=1.0 if kind in WORST else rng.uniform(0.0, 0.2),
        )

    usual = replace(RATES, peering=fault(1, 3))
    if kind == BURSTS:
        return replace(RATES, peering=fault(2, 8))
    if kind in (SIGNED, MORE_SIGNED, *WORST):
        return replace(RATES, peering=fault(1, 3, 0.15 if kind == SIGNED else 0.3))
    if kind == UPSTREAM:
        return replace(usual, upstream=fault(1, 4, 0.05))
    if kind == NATIONAL:
        outage = Trouble(
            yearly=rng.uniform(1, 4),
            minutes=120,
            fails=0.7,
            fails_most=1.0,
            between=(30.0, 480.0),
            alone=0.0,
            signed_alone=0.0,
            breadth=(1.0, 1.0),
        )
        return replace(usual, national=outage, national_hosts=rng.uniform(0.3, 0.6))
    if kind == OWNER:
        return replace(usual, one_owner=rng.uniform(0.3, 0.7))
    if kind == LOOKALIKE:
        return replace(usual, natural_signature=0.15)
    raise ValueError(f"{kind}: no kind of world")
