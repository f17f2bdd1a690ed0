# SPDX-License-Identifier: Apache-2.0
"""The reliability diagram: stated confidence against actual frequency, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.world.calibration import Score

SIDE, LEFT, TOP = 360, 64, 48
COLOURS = ("#0b5fa5", "#c2410c")
"""Blue and orange, safe for colour-blind readers; the shapes differ too."""


def reliability(scores: Mapping[str, Score], title: str) -> str:
    """One mark per bin and way of counting; its size shows the number of events."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE + LEFT + 40} '
        f'{SIDE + TOP + 84}" role="img" font-family="sans-serif" font-size="12">',
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="14">{title}</text>',
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#888" stroke-dasharray="4 4"/>',
    ]
    for n in range(0, 11, 2):
        at = n / 10
        parts.append(
            f'<text x="{_x(at)}" y="{TOP + SIDE + 18}" text-anchor="middle">{10 * n} %</text>'
            f'<text x="{LEFT - 8}" y="{_y(at) + 4}" text-anchor="end">{10 * n} %</text>'
        )
    parts.append(
        f'<text x="{_x(0.5)}" y="{TOP + SIDE + 38}" text-anchor="middle">confidence</text>'
    )
    parts.append(
        f'<text transform="translate(16 {_y(0.5)}) rotate(-90)" text-anchor="middle">'
        "share actually blocked</text>"
    )
    for number, (name, score) in enumerate(scores.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(_mark(LEFT + 8, TOP + SIDE + 54 + 18 * number, 5, number, colour))
        parts.append(
            f'<text x="{LEFT + 22}" y="{TOP + SIDE + 58 + 18 * number}">{name}: calibration error '
            f"{score.error:.3f}, Brier {score.brier:.3f}</text>"
        )
        parts += [
            _mark(_x(each.said), _y(each.true), _radius(each.weight / score.weight), number, colour)
            for each in score.bins
        ]
    return "\n".join([*parts, "</svg>", ""])


def _x(share: float) -> float:
    return round(LEFT + SIDE * share, 1)


def _y(share: float) -> float:
    return round(TOP + SIDE * (1 - share), 1)


def _radius(share: float) -> float:
    """From 3 for a ten-thousandth to 11 for all: its logarithm."""
    return round(11 + 2 * max(-4.0, math.log10(max(share, 1e-9))), 1)


def _mark(x: float, y: float, size: float, number: int, colour: str) -> str:
    style = f'fill="{colour}" fill-opacity="0.45" stroke="{colour}"'
    if number % 2:
        at = f'x="{x - size:.1f}" y="{y - size:.1f}"'
        return f'<rect {at} width="{2 * size:.1f}" height="{2 * size:.1f}" {style}/>'
    return f'<circle cx="{x}" cy="{y}" r="{size}" {style}/>'
