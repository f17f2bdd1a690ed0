# SPDX-License-Identifier: Apache-2.0
"""Small statistics: percentiles, and confidence intervals of counts of rare events."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

_MANY = 200


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; inf for what never
    came, nan without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def most(count: int, sure: float = 0.95) -> float:
    """Upper bound of a Poisson mean of which `count` were seen (one-sided; exact up to some
    hundreds, Wilson and Hilferty's approximation beyond)."""
    if count > _MANY:
        n, z = count + 1, statistics.NormalDist().inv_cdf(sure)
        return n * (1 - 1 / (9 * n) + z / (3 * math.sqrt(n))) ** 3
    low, high = 0.0, 10.0 + 3 * count
    while high - low > 1e-6:
        mean = (low + high) / 2
        term = total = math.exp(-mean)
        for k in range(1, count + 1):
            term *= mean / k
            total += term
        low, high = (mean, high) if total > 1 - sure else (low, mean)
    return high
