# SPDX-License-Identifier: Apache-2.0
"""Logistic regression on counted outcomes: Newton's method with a small ridge, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDS = 60
ENOUGH = 1e-7
Case = tuple[tuple[int, ...], float, float]
"""Values of the terms, weight of those that were true, weight of those that were not."""


def fitted(cases: Sequence[Case], ridge: float) -> list[float]:
    """Intercept and one coefficient a term, those that make the cases likeliest; `ridge` pulls
    every coefficient but the intercept towards zero."""
    size = 1 + len(cases[0][0])
    beta = [0.0] * size
    for _ in range(ROUNDS):
        slope, curve = _derivatives(cases, beta, ridge)
        step = solved(curve, slope)
        # Half steps where a whole one would overshoot.
        scale = min(1.0, 4.0 / max(1e-12, *(abs(each) for each in step)))
        beta = [b + scale * s for b, s in zip(beta, step, strict=True)]
        if scale == 1.0 and max(abs(each) for each in step) < ENOUGH:
            break
    return beta


def _derivatives(
    cases: Sequence[Case], beta: Sequence[float], ridge: float
) -> tuple[list[float], list[list[float]]]:
    size = len(beta)
    slope = [0.0, *(-ridge * each for each in beta[1:])]
    curve = [[0.0] * size for _ in range(size)]
    for n in range(size):
        curve[n][n] = ridge if n else 1e-9
    for values, true, false in cases:
        row = (1, *values)
        chance = sigmoid(sum(b * v for b, v in zip(beta, row, strict=True)))
        off = true - (true + false) * chance
        spread = (true + false) * chance * (1 - chance)
        present = [n for n, v in enumerate(row) if v]
        for n in present:
            slope[n] += off * row[n]
            for m in present:
                curve[n][m] += spread * row[n] * row[m]
    return slope, curve


def sigmoid(x: float) -> float:
    """The chance whose log odds are x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """x with matrix @ x = right (Gauss, with pivots)."""
    rows = [[*row, r] for row, r in zip(matrix, right, strict=True)]
    size = len(rows)
    for n in range(size):
        pivot = max(range(n, size), key=lambda m: abs(rows[m][n]))
        rows[n], rows[pivot] = rows[pivot], rows[n]
        for m in range(n + 1, size):
            factor = rows[m][n] / rows[n][n]
            if factor:
                rows[m] = [a - factor * b for a, b in zip(rows[m], rows[n], strict=True)]
    found = [0.0] * size
    for n in reversed(range(size)):
        rest = sum(rows[n][m] * found[m] for m in range(n + 1, size))
        found[n] = (rows[n][size] - rest) / rows[n][n]
    return found
