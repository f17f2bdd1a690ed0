# SPDX-License-Identifier: Apache-2.0
"""Renders templates. All values are escaped; templates cannot read the store."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from monitor.store.reading.progress import last_received
from monitor.store.records import StoreUnavailableError
from monitor.web.assets import address
from monitor.web.site import SITE, Site
from monitor.web.text import event_text, words

HERE = Path(__file__).parent
STALLED_MS = 240_000
"""Pages say so when no measurement has arrived for this long (and for three rounds)."""


@functools.cache
def environment() -> jinja2.Environment:
    """The template environment."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["words"] = words
    made.globals["asset"] = address
    made.globals["mark"] = mark
    made.globals["event_text"] = event_text
    return made


def compile_templates() -> None:
    """Compile all templates, some 0.3 s in all, so that no visitor waits for it."""
    made = environment()
    for name in made.list_templates():
        made.get_template(name)


@functools.lru_cache(maxsize=256)
def mark(kind: str, word: str) -> Markup:
    """A state as a symbol and a word. Large pages have thousands, of a dozen kinds."""
    return Markup(
        '<span class="mark {0}"><svg viewBox="0 0 12 12" aria-hidden="true">'
        '<use href="#m-{0}"/></svg>{1}</span>'
    ).format(kind, word)


async def render(
    request: web.Request, template: str, values: Mapping[str, Any], status: int = 200
) -> web.Response:
    """Return a page. `values` go to the template, together with those that all pages use."""
    site = request.app[SITE]
    shared = {
        "site": site,
        "path": request.path,
        "now": site.clock(),
        "freshness": await freshness(site),
        "query": request.query.get("q", ""),
    }
    text = environment().get_template(template).render(shared | dict(values))
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


async def freshness(site: Site) -> tuple[str, bool]:
    """The age of the newest measurement as a sentence, and whether it is too old."""
    try:
        async with site.database.reading() as connection:
            last = await last_received(connection)
    except StoreUnavailableError:
        return "The store cannot be read at the moment.", True
    if last is None:
        return "Nothing has been measured yet.", False
    age = site.clock() - last
    stalled = age > max(STALLED_MS // site.policy.pace, 3000 * site.interval_seconds)
    if stalled:
        return (
            f"The monitor has received nothing for {words.duration_text(age)}; "
            f"what you see is from {words.when(last)}.",
            True,
        )
    return f"Last measurement {words.duration_text(age)} ago.", False
