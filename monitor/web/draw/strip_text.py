# SPDX-License-Identifier: Apache-2.0
"""Strips as SVG, as a table, and their axis. Pages have dozens of strips with hundreds of pieces:
as text they take a tenth of the time that a template takes.
"""

from __future__ import annotations

import functools

from markupsafe import Markup

from monitor.text.language import _, current
from monitor.text.words import exactly
from monitor.web.draw.strips import HEIGHT, PARTIAL, PARTIAL_HEIGHT, Strip
from monitor.web.draw.time_axis import ticks
from monitor.web.quick_templates import escaped


def picture(strip: Strip, label: str) -> Markup:
    """A strip as SVG, with what each piece means on hover."""
    said = escaped(f"{label}: {strip.summary}")
    text = [f'<svg class="strip" role="img" aria-label="{said}"><title>{said}</title>\n']
    percent = 100 / strip.slices
    for run in strip.runs:
        x, width = percent * run.x, percent * run.width
        drawn = _run(run.kind, run.below, run.height, run.word, run.begin, run.end, x, width)
        text.append(
            f"{drawn} ({run.counted})</title></rect>" if run.n else f"{drawn}</title></rect>"
        )
    text.append("\n")
    for mark in strip.marks:
        height = PARTIAL_HEIGHT if mark.kind in PARTIAL else HEIGHT
        text.append(
            f'<rect class="t-{mark.kind} event-mark" x="{mark.x:.3f}%" y="0" '
            f'width="{mark.width:.3f}%" height="{height}"><title>{exactly(mark.begin)} – '
            f"{exactly(mark.end)}: {escaped(mark.word)}</title></rect>"
        )
    text.append("\n</svg>\n")
    return Markup("".join(text))


@functools.lru_cache(maxsize=8192)
def _run(
    kind: str, below: str, height: int, word: str, begin: int, end: int, x: float, width: float
) -> str:
    """A run up to how much was measured: the same of most services at most times. `x` and `width`
    in percent."""
    y = 0
    if kind == "none":
        y, height, below = 7, 2, ""
    elif kind in PARTIAL and not below:
        height, below = PARTIAL_HEIGHT, "ok"
    left, wide = f'x="{x:.3f}%"', f'width="{width:.3f}%"'
    drawn = (
        f'<rect class="t-{kind}" {left} y="{y}" {wide} height="{height}"><title>'
        f"{exactly(begin)} – {exactly(end)}: {escaped(word)}"
    )
    if below:
        rest = f'y="{height}" {wide} height="{HEIGHT - height}"/>'
        drawn = f'<rect class="t-{below}" {left} {rest}{drawn}'
    return drawn


def table(strip: Strip, label: str) -> Markup:
    """The same as a table, folded."""
    before, heads = _heads(current().language)
    text = [f"{before}{escaped(label)}{heads}"]
    runs = [run for run in strip.runs if run.kind != "none"]
    text += [f"{_row(run.begin, run.end, run.word)}{run.counted}</td></tr>\n" for run in runs]
    if not runs:
        nothing = escaped(_("Nothing was measured in this time."))
        text.append(f'<tr><td colspan="4">{nothing}</td></tr>')
    text += [
        f"<tr><td>{exactly(mark.begin)}</td><td>{exactly(mark.end)}</td>"
        f'<td><a href="/e/{mark.event}">{escaped(mark.word)}</a></td><td></td></tr>'
        for mark in strip.marks
    ]
    text.append("\n</tbody></table></div></details>\n")
    return Markup("".join(text))


@functools.lru_cache(maxsize=8192)
def _row(begin: int, end: int, word: str) -> str:
    """A row of a table up to how much was measured, as in `_run`."""
    return (
        f"<tr><td>{exactly(begin)}</td><td>{exactly(end)}</td><td>{escaped(word)}</td>"
        '<td class="n">'
    )


@functools.cache
def _heads(_language: str) -> tuple[str, str]:
    """What stands before and after the label of a table."""
    heads = "".join(f"<th>{escaped(name)}</th>" for name in (_("From"), _("To"), _("Seen")))
    return (
        f'<details class="twin"><summary>{escaped(_("Show as table"))}</summary>\n'
        '<div class="scroll" tabindex="0" aria-label="',
        f'"><table><thead><tr>{heads}<th class="n">{escaped(_("Measurements"))}</th></tr></thead>'
        "<tbody>\n",
    )


def axis(since: int, until: int) -> Markup:
    """The time axis below strips."""
    return _axis(since, until, current().language)


@functools.lru_cache(maxsize=256)
def _axis(since: int, until: int, _language: str) -> Markup:
    text = ['<svg class="axis" aria-hidden="true">']
    for tick in ticks(since, until):
        x = f"{tick.x:.2f}%"
        minor = ' class="minor"' if tick.minor else ""
        side = "end" if tick.x > 90 else "middle" if tick.x > 12 else ""
        anchor = f' text-anchor="{side}"' if side else ""
        text.append(
            f'<line x1="{x}" x2="{x}" y1="0" y2="4"/>'
            f'<text{minor} x="{x}" y="15"{anchor}>{escaped(tick.label)}</text>'
        )
    text.append("</svg>\n")
    return Markup("".join(text))
