# SPDX-License-Identifier: Apache-2.0
"""What is seen now, as rows of tables. Pages have hundreds of them, so no template writes each."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from monitor.detection.events.present import PresentState
from monitor.detection.model import Votes
from monitor.text import event_sources, event_subject, words
from monitor.text.language import _, current
from monitor.text.network_names import network
from monitor.web.quick_templates import escaped
from probes.wire.measurement import service_of


class LayerCell(msgspec.Struct, frozen=True):
    """What vantages here see of one layer of one target now."""

    kind: str
    word: str
    base: str
    """Of how many vantages."""
    rules: tuple[str, ...] = ()
    """Rules that found it failing."""
    event: str | None = None


class LayerRow(msgspec.Struct, frozen=True):
    """One target in this network, in one country."""

    country: str
    target: str
    service: str
    cells: tuple[LayerCell | None, ...]


@functools.lru_cache(maxsize=256)
def mark(kind: str, word: str) -> Markup:
    """A state as a symbol and a word. Large pages have thousands, of a dozen kinds."""
    return Markup(
        '<span class="mark {0}"><svg viewBox="0 0 12 12" aria-hidden="true">'
        '<use href="#m-{0}"/></svg>{1}</span>'
    ).format(kind, word)


def layer_rows(
    rows: Sequence[LayerRow], heads: Sequence[str], catalogue: Container[str], countries: bool
) -> Markup:
    """The rows of a network, one a target. `heads` are those of the cells, `catalogue` the services
    that have a page; `countries`: each row names its country."""
    language, text, place = current().language, [], ""
    # Most rows of a network have the same cells.
    drawn: dict[tuple[int, ...], str] = {}
    for row in rows:
        if countries:
            place = f"<td>{_place(row.country, language)}</td>"
        if (cells := drawn.get(key := tuple(map(id, row.cells)))) is None:
            each = zip(row.cells, heads, strict=True)
            cells = drawn[key] = "".join(_layer(cell, head, language) for cell, head in each)
        named = _named(row.target, row.service, service_of(row.target) in catalogue, language)
        text.append(f"<tr>{place}{named}{cells}</tr>\n")
    return Markup("".join(text))


@functools.lru_cache(maxsize=4096)
def _named(target: str, service: str, linked: bool, _language: str) -> str:
    """The cells that name a target."""
    name = escaped(service)
    named = (
        f'<a href="/s/{escaped(service_of(target))}">{name}</a>'
        if linked
        else f"{name} <small>({escaped(_('not in the catalogue'))})</small>"
    )
    return f'<th scope="row">{named}</th><td>{escaped(event_subject.function(target))}</td>'


@functools.lru_cache(maxsize=4096)
def _layer(cell: LayerCell | None, head: str, _language: str) -> str:
    if cell is None:
        nothing = _("not seen")
        seen = f'<span class="quiet">{escaped(nothing)}</span>'
    else:
        seen = str(mark(cell.kind, cell.word))
        if cell.event:
            seen = f'<a href="/e/{escaped(cell.event)}">{seen}</a>'
        rules = map(escaped, cell.rules)
        seen = f"{seen} <br><small>{escaped(cell.base)}</small>" + "".join(
            f'<br><small class="id"><a href="/method#rule-{rule}">{rule}</a></small>'
            for rule in rules
        )
    return f'<td data-label="{escaped(head)}">{seen}</td>'


def state_rows(rows: Iterable[tuple[PresentState, tuple[str, str], Votes]]) -> Markup:
    """The rows of a service: a target in a network, its mark (kind and word), and which runs of
    others are counted in it."""
    language = current().language
    return Markup(
        "".join(
            [
                f"{_where(row.country, row.asn, language)}{_what(row.target, said, language)}"
                f"{_counted(row.agreeing, row.vantages, runs, language)}</td>"
                f'<td class="full">{_how(row.technique, language)}</td></tr>\n'
                for row, said, runs in rows
            ]
        )
    )


@functools.lru_cache(maxsize=1024)
def _place(country: str, _language: str) -> str:
    return escaped(words.sentence(words.country(country)))


@functools.lru_cache(maxsize=4096)
def _where(country: str, asn: int, language: str) -> str:
    """The cells of a network."""
    return (
        f"<tr><td>{_place(country, language)}</td>"
        f'<td><a href="/as/{asn}">{escaped(network(asn))}</a></td>'
    )


@functools.lru_cache(maxsize=1024)
def _what(target: str, said: tuple[str, str], _language: str) -> str:
    """The cells of a target and its mark, and the begin of the next one."""
    function = escaped(event_subject.function(target))
    return f'<td>{function}</td><td>{mark(*said)}</td><td class="n"'


@functools.lru_cache(maxsize=1024)
def _counted(agreeing: int, vantages: int, runs: Votes, _language: str) -> str:
    """The rest of a tag, and how many vantages say it."""
    total = vantages - runs.total
    counted = ">"
    if total > 0 or not runs.total:
        counted = _("%(n)s of %(total)s", n=agreeing - runs.agreeing, total=total)
        counted = f' data-label="{escaped(_("vantages"))}">{escaped(counted)}'
    for told in event_sources.runs_of_others(runs):
        counted += f" <small>{escaped(told)}</small>"
    return counted


@functools.lru_cache(maxsize=256)
def _how(technique: str | None, _language: str) -> str:
    if not technique:
        return ""
    return f'{escaped(words.technique(technique))} <small class="id">{escaped(technique)}</small>'


def matrix_cells(cells: Iterable[dict[str, Any] | None]) -> Markup:
    """The cells of a row of `monitor.web.draw.matrix`."""
    nothing = f'<td><span class="quiet">{escaped(_("no data"))}</span></td>'
    return Markup("".join([nothing if cell is None else _matrix_cell(cell) for cell in cells]))


def _matrix_cell(cell: dict[str, Any]) -> str:
    seen: str = mark(cell["kind"], cell["word"])
    if cell["event"]:
        seen = f'<a href="/e/{escaped(cell["event"])}">{seen}</a>'
    scope = cell["scope"] and f' <small class="scope">{escaped(cell["scope"])}</small>'
    return f"<td>{seen}{scope}</td>"
