# SPDX-License-Identifier: Apache-2.0
"""Renders templates. All values are escaped; templates cannot read the store."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from yarl import URL

from monitor.interop.forms import rfc3339
from monitor.interop.licences import licences_of
from monitor.store.notes import notes_of
from monitor.text import (
    event_evidence,
    event_headlines,
    event_sources,
    event_state,
    event_subject,
    language,
    network_names,
    words,
)
from monitor.text.language import _
from monitor.text.network_names import network
from monitor.web import template_text
from monitor.web.assets import address
from monitor.web.draw import now_rows, strip_text, strips, time_axis
from monitor.web.freshness import Freshness, freshness
from monitor.web.moment import is_unreadable, present_of, site_of
from monitor.web.moment_addresses import accessed, at_moment
from monitor.web.press_history import reported
from monitor.web.quick_templates import QuickEnvironment
from monitor.web.site import Site

HEADER_PAGES = (
    ("/", "Overview", True),
    ("/s", "Services", True),
    ("/c", "Countries", True),
    ("/changes", "Changes", False),
    ("/explore", "Explore", False),
    ("/live", "Live", False),
    ("/data", "Data", False),
    ("/method", "Method", False),
)
"""(path, name, also on a phone) of the links in the header."""
ALL_PAGES = (
    *((path, name) for path, name, _ in HEADER_PAGES),
    ("/compare", "Compare"),
    ("/v", "Vantages"),
    ("/status", "System health"),
)
"""(path, name) of the links in the footer."""
HERE = Path(__file__).parent


@functools.cache
def environment() -> QuickEnvironment:
    """The template environment, in English."""
    made = QuickEnvironment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=[template_text.Texts],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["_"] = language._
    made.globals["_h"] = language.markup
    made.globals["n_"] = language.n_
    made.globals["words"] = words
    made.globals["asset"] = address
    made.globals["mark"] = now_rows.mark
    made.globals["now_rows"] = now_rows
    made.globals["header_pages"] = HEADER_PAGES
    made.globals["all_pages"] = ALL_PAGES
    for module in (event_evidence, event_headlines, event_sources, event_state, event_subject):
        made.globals[module.__name__.rpartition(".")[2]] = module
    made.globals["strips"] = strips
    made.globals["strip_text"] = strip_text
    made.globals["ticks"] = time_axis.ticks
    made.globals["network"] = network
    made.globals["network_list"] = network_names.network_list
    made.globals["notes_of"] = notes_of
    made.globals["reported"] = reported
    return made


@functools.cache
def _translated(code: str) -> QuickEnvironment:
    return environment().translated(language.catalogue(code).messages)


def template(name: str) -> jinja2.Template:
    """A template in the language of this context."""
    return _translated(language.current().language).get_template(name)


def compile_templates() -> None:
    """Compile all templates and read the names of networks, some 0.5 s in all, so that no visitor
    waits for it."""
    network_names.names()
    made = _translated(language.SOURCE)
    for name in made.list_templates():
        made.get_template(name)


async def render(
    request: web.Request, name: str, values: Mapping[str, Any], status: int = 200
) -> web.Response:
    """Return a page. `values` go to the template of that name, with those that all pages use."""
    site = site_of(request)
    fresh = Freshness("")
    if is_unreadable(request):
        fresh = Freshness(_("The store cannot be read at the moment."), True)
    elif site.as_of is None:
        fresh = await freshness(site)
    reconstructed = unpublished = 0
    if site.as_of is not None:
        present = await present_of(request)
        reconstructed, unpublished = len(present.reconstructed), len(present.unpublished)
    canonical = request.url.without_query_params("lang").relative()
    chosen = language.current()
    shared = {
        "site": site,
        "language": chosen.language,
        "direction": chosen.direction,
        "language_names": language.LANGUAGES,
        "canonical": f"{site.public_url}{canonical}",
        "languages": [
            (code, str(canonical.update_query(lang=code))) for code in language.LANGUAGES
        ],
        "path": request.path,
        "now": site.clock(),
        "accessed": accessed(site),
        "freshness": fresh.line,
        "stalled": fresh.stalled,
        "behind": fresh.behind,
        "query": request.query.get("q", ""),
        "other_licences": licences_of(site.present.last_read().sources)[1:],
        "record": None,
        "reconstructed": reconstructed,
        "unpublished": unpublished,
        "moment_query": "" if site.as_of is None else f"as_of={rfc3339(site.as_of)}",
        "of_this_moment": _moment_address(site, canonical),
        "cited": "" if site.as_of is None else at_moment(site, f"{site.public_url}{canonical}"),
        "at_moment": functools.partial(at_moment, site),
        "present_address": str(canonical.without_query_params("as_of")),
    }
    page = shared | dict(values)
    # Macros get it: those that see a template's context are made anew for each page, and hold it
    # until the garbage collector comes.
    text = template(name).render(page | {"page": page})
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-cache", "Content-Language": chosen.language},
    )


def _moment_address(site: Site, canonical: URL) -> str:
    """The page as it is now, for whoever cites it; empty where it is of a moment already."""
    if site.as_of is not None:
        return ""
    return str(canonical.update_query(as_of=rfc3339(site.clock()) or ""))
