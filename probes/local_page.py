# SPDX-License-Identifier: Apache-2.0
"""The local page: shows the volunteer, in their language, what their probe saw.

It is served on loopback alone, asks nobody anything, and runs no script. Pure.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable

from probes import contributions
from probes.local_http import PageReply, PageRequest
from probes.status import REVOKED, ProbeStatus, month_end_bytes, notices
from probes.summary import FunctionSummary, service_lines
from probes.wire.target import Catalogue
from probes.words import language_of, say

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = (
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
    "Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}dt{float:left;clear:left;width:12rem;color:#555}"
    "dd{margin:0 0 .3rem 12rem}li{margin:.3rem 0}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}dt{color:#aaa}}"
)


def reply(
    request: PageRequest,
    *,
    status: ProbeStatus,
    problem: str,
    catalogue: Catalogue,
    found: Iterable[FunctionSummary],
) -> PageReply:
    """Answer a request. A name that is not loopback's is refused: a page elsewhere could have let
    its own name point here."""
    name = request.headers.get("host", "")
    if name.rpartition(":")[0] not in _LOOPBACK_NAMES and name not in _LOOPBACK_NAMES:
        return PageReply("403 Forbidden", "open this page as http://127.0.0.1\n")
    if request.path != "/":
        return PageReply("404 Not Found", "only /\n")
    language = language_of(request.headers.get("accept-language", ""))
    body = _page(language, status, problem, catalogue, found)
    return PageReply("200 OK", body, "text/html", _HEADERS)


def _page(
    language: str,
    status: ProbeStatus,
    problem: str,
    catalogue: Catalogue,
    found: Iterable[FunctionSummary],
) -> str:
    if problem == REVOKED:
        state = say(language, "revoked")
    elif status.paused:
        state = say(language, "paused")
    else:
        state = problem or say(language, "working")
    facts = {
        "state": state,
        "network": f"{status.country} AS{status.asn}",
        "last_round": _time(status.measured_ms),
        "next_round": "-" if status.paused else _time(status.next_round_ms),
        "traffic": say(
            language,
            "so_far",
            spent=round(status.month_spent_bytes / 1e6),
            month=round(month_end_bytes(status) / 1e6),
        ),
    }
    rows = "".join(
        f"<dt>{html.escape(say(language, key))}</dt><dd>{html.escape(value)}</dd>"
        for key, value in facts.items()
    )
    warnings = "".join(
        f"<p role=status><strong>{html.escape(line)}</strong></p>"
        for line in notices(status, status.updated_ms, language=language)
    )
    lines = service_lines(catalogue, found, language) or [say(language, "nothing_yet")]
    names = {service.id: service.name for service in catalogue.services}
    helped = contributions.lines(status.contributions, names, language)
    if status.offline:
        lines = []  # they would all say the same
    items, others = _items(lines), _items(helped)
    if others:
        others = f"<h2>{html.escape(say(language, 'for_others'))}</h2><ul>{others}</ul>"
    title = html.escape(say(language, "title"))
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="refresh" content="60">'
        f"<style>{_STYLE}</style><h1>{title}</h1>{warnings}<dl>{rows}</dl><ul>{items}</ul>"
        f"<p>{html.escape(say(language, 'only_here'))}</p>{others}</html>\n"
    )


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{html.escape(line)}</li>" for line in lines)


def _time(at_ms: int) -> str:
    """A time of day where the volunteer is."""
    if not at_ms:
        return "-"
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")
