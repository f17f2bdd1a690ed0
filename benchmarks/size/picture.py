# SPDX-License-Identifier: Apache-2.0
"""Small panels of lines over the size of a store, as one SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 250, 150
LEFT, TOP, GAP = 48, 44, 34
COLUMNS = 3
COLOURS = ("#0a5c8a", "#b3541e", "#3a7d44")
DASHES = ("", "5 3", "2 2")
"""Lines differ without their colour as well."""


@dataclass(frozen=True)
class Line:
    """A named line of (measurements, value)."""

    name: str
    points: tuple[tuple[float, float], ...]


def picture(title: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Draw the panels; the horizontal axis is logarithmic, the vertical one begins at 0."""
    rows = math.ceil(len(panels) / COLUMNS)
    wide = COLUMNS * (WIDTH + LEFT) + 20
    high = TOP + rows * (HEIGHT + GAP + 30) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        'font-family="sans-serif" font-size="11" role="img" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
    ]
    names = list(dict.fromkeys(line.name for _, lines in panels for line in lines))
    for n, name in enumerate(names):
        x = LEFT + n * 130
        parts.append(f'<path d="M{x} 16h26" {_stroke(n)}/>')
        parts.append(f'<text x="{x + 32}" y="20">{escape(name)}</text>')
    for n, (heading, lines) in enumerate(panels):
        x = LEFT + n % COLUMNS * (WIDTH + LEFT)
        y = TOP + n // COLUMNS * (HEIGHT + GAP + 30)
        parts.append(f'<g transform="translate({x} {y})">')
        parts += _panel(heading, lines, names)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(heading: str, lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    sizes = sorted({x for line in lines for x, _ in line.points})
    top = max((y for line in lines for _, y in line.points), default=1.0) * 1.1 or 1.0
    low, span = math.log(sizes[0]), math.log(sizes[-1]) - math.log(sizes[0]) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log(x) - low) / span if len(sizes) > 1 else 0.5
        return 10 + along * (WIDTH - 30), HEIGHT - y / top * (HEIGHT - 20)

    parts = [
        f'<text x="0" y="6" font-weight="bold">{escape(heading)}</text>',
        f'<path d="M0 {HEIGHT}H{WIDTH - 10}M0 {HEIGHT}V16" stroke="#888" fill="none"/>',
    ]
    for share in (0.5, 1.0):
        value = top / 1.1 * share
        _, y = place(sizes[0], value)
        parts.append(f'<path d="M0 {y:.1f}H{WIDTH - 10}" stroke="#ddd" fill="none"/>')
        parts.append(f'<text x="-4" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for size in sizes:
        x, _ = place(size, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT + 15}" text-anchor="middle">{size / 1e6:.3g} M</text>'
        )
    for line in lines:
        n = names.index(line.name)
        found = [place(x, y) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in found)
        parts.append(f'<path d="{path}" {_stroke(n)}/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[n]}"/>' for x, y in found
        ]
    return parts


def _stroke(n: int) -> str:
    dash = f' stroke-dasharray="{DASHES[n]}"' if DASHES[n] else ""
    return f'stroke="{COLOURS[n]}" stroke-width="2" fill="none"{dash}'
