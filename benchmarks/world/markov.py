# SPDX-License-Identifier: Apache-2.0
"""The exact average run length of one CUSUM on independent noise (Brook and Evans 1972).

The chain starts anew at every return to zero, so it is enough to follow one excursion: the mean
time between returns, over the chance that the excursion ends at the threshold. The sums are the
detector's own integers, so no grid and no approximation comes in, but for the mass below
`NOTHING` that is let go.
"""

from __future__ import annotations

NOTHING = 1e-16


def run_length(p: float, gain: int, loss: int, threshold: int) -> float:
    """Mean number of samples until the sum reaches `threshold`, starting at zero, when a sample
    fails (adds `gain`) with chance `p` and else takes `loss`, never below zero."""
    if gain <= 0 or loss <= 0:
        raise ValueError(f"gain {gain} and loss {loss} must be positive")
    mass, spent, reached = {0: 1.0}, 0.0, 0.0
    while mass:
        after: dict[int, float] = {}
        for held, chance in mass.items():
            spent += chance
            for moved, share in ((held + gain, p * chance), (held - loss, (1 - p) * chance)):
                if moved >= threshold:
                    reached += share
                elif moved > 0 and share > NOTHING:
                    after[moved] = after.get(moved, 0.0) + share
        mass = after
    return spent / reached
