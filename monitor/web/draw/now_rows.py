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
    # Most cells of a column are the same one.
    known: list[dict[int, str]] = [{} for _head in heads]
    for row in rows:
        service, name = service_of(row.target), escaped(row.service)
        if countries:
            place = f"<td>{_place(row.country, language)}</td>"
        named = (
            f'<a href="/s/{escaped(service)}">{name}</a>'
            if service in catalogue
            else f"{name} <small>({escaped(_('not in the catalogue'))})</small>"
        )
        text.append(
            f'<tr>{place}<th scope="row">{named}</th>'
            f"<td>{escaped(event_subject.function(row.target))}</td>"
        )
        for cell, head, drawn in zip(row.cells, heads, known, strict=True):
            if (one := drawn.get(id(cell))) is None:
                one = drawn[id(cell)] = _layer(cell, head, language)
            text.append(one)
        text.append("</tr>\n")
    return Markup("".join(text))


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
                f"<tr><td>{_place(row.country, language)}</td>"
                f'<td><a href="/as/{row.asn}">{escaped(network(row.asn))}</a></td>'
                f"<td>{escaped(event_subject.function(row.target))}</td><td>{mark(*said)}</td>"
                f'<td class="n"{_counted(row.agreeing, row.vantages, runs, language)}</td>'
                f'<td class="full">{_how(row.technique)}</td></tr>\n'
                for row, said, runs in rows
            ]
        )
    )


@functools.lru_cache(maxsize=1024)
def _place(country: str, _language: str) -> str:
    return escaped(words.sentence(words.country(country)))


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


def _how(technique: str | None) -> str:
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
