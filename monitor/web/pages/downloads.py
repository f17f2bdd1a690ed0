# SPDX-License-Identifier: Apache-2.0
"""`/data`: the lists of the API, the files of every day with their manifest, and what each column
means. Addresses are stable: `/data/2026-11-27/measurements.jsonl.gz`.
"""

from __future__ import annotations

import datetime as dt
import inspect
import re
from typing import Any

from aiohttp import web

from monitor.interop import dictionary
from monitor.interop.forms import LICENCE, LICENCE_URL
from monitor.interop.licences import OTHERS, licence_of
from monitor.store.days import date_of, day_from
from monitor.text.language import _
from monitor.web.answers import PUBLIC, json_answer
from monitor.web.api import endpoints as api
from monitor.web.day_files import MANIFEST, OWN, Day, DayFiles, NotNowError
from monitor.web.moment import site_of
from monitor.web.render import render
from monitor.web.site import Site

SHOWN_DAYS = 60
"""Days on the page; the manifest has all."""
RETRY_SECONDS = "60"
KINDS = {".jsonl.gz": "application/gzip", ".parquet": "application/vnd.apache.parquet"}


def add_routes(router: web.UrlDispatcher) -> None:
    """Add the page and its files."""
    day = "{day:[0-9]{4}-[0-9]{2}-[0-9]{2}}"
    router.add_get("/data", page)
    router.add_get("/data/dictionary", columns)
    router.add_get(f"/data/{MANIFEST}", all_days)
    router.add_get(f"/data/{day}/{MANIFEST}", one_day)
    names = "|".join((OWN, *OTHERS))
    for ending in KINDS:
        router.add_get(f"/data/{day}/{{name:(?:{names}){re.escape(ending)}}}", file)


async def page(request: web.Request) -> web.Response:
    """Render what can be downloaded."""
    site = site_of(request)
    days: list[Day] = []
    if site.day_files is not None:
        try:
            days = [*(await site.day_files.days()).values()][::-1]
        except NotNowError:
            pass  # the lists of the API are there all the same
    lists = [(name, inspect.getdoc(endpoint) or "") for name, endpoint in api.LISTS]
    values = {
        "title": _("Data"),
        "lists": lists,
        "days": [(date_of(one.day).isoformat(), one) for one in days[:SHOWN_DAYS]],
        "total": len(days),
    }
    return await render(request, "data.html", values)


async def columns(request: web.Request) -> web.Response:
    """Render what each column of the API and of the files means."""
    values = {"title": _("Data dictionary"), "tables": dictionary.TABLES}
    return await render(request, "dictionary.html", values)


def _files(request: web.Request) -> DayFiles:
    files = site_of(request).day_files
    if files is None:
        raise web.HTTPNotFound(reason="This server offers no files by day.")
    return files


def _headers(site: Site, licence: str = LICENCE_URL) -> dict[str, str]:
    return {
        **PUBLIC,
        "Cache-Control": "no-cache",
        "Link": f'<{licence}>; rel="license", <{site.public_url}/data/dictionary>; '
        'rel="describedby"',
    }


def _refusal(error: NotNowError) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(reason=str(error), headers={"Retry-After": RETRY_SECONDS})


async def all_days(request: web.Request) -> web.Response:
    """Every day, with the address of its own manifest."""
    site, files = site_of(request), _files(request)
    try:
        days = await files.days()
    except NotNowError as error:
        raise _refusal(error) from None
    body = {
        "version": 1,
        "licence": LICENCE,
        "licence_url": LICENCE_URL,
        "dictionary": f"{site.public_url}/data/dictionary",
        "days": [
            {
                "day": date_of(one.day).isoformat(),
                "measurements": one.measurements,
                "complete": one.complete,
                "archived": one.archived,
                "manifest": f"{site.public_url}/data/{date_of(one.day).isoformat()}/{MANIFEST}",
            }
            for one in days.values()
        ],
    }
    return json_answer(body | site.simulated, headers=_headers(site))


async def _made(request: web.Request) -> tuple[int, dict[str, Any]]:
    """The day of the address and its manifest. Raises HTTPNotFound, HTTPServiceUnavailable."""
    try:
        day = day_from(dt.date.fromisoformat(request.match_info["day"]))
    except ValueError:
        raise web.HTTPNotFound(reason="There is no such day.") from None
    try:
        manifest = await _files(request).manifest(day, site_of(request).background)
    except NotNowError as error:
        raise _refusal(error) from None
    if manifest is None:
        raise web.HTTPNotFound(reason="There are no measurements of this day.")
    return day, dict(manifest)


async def one_day(request: web.Request) -> web.Response:
    """The files of a day with their SHA-256; they are made if need be."""
    site = site_of(request)
    _, manifest = await _made(request)
    base = f"{site.public_url}/data/{manifest['day']}/"
    body = manifest | {
        "licence_url": LICENCE_URL,
        "dictionary": f"{site.public_url}/data/dictionary",
        "files": [each | {"url": base + each["name"]} for each in manifest["files"]],
    }
    return json_answer(body | site.simulated, headers=_headers(site))


async def file(request: web.Request) -> web.StreamResponse:
    """One file of a day, streamed from the disk; parts of it by `Range`."""
    day, manifest = await _made(request)
    name = request.match_info["name"]
    if name not in {each["name"] for each in manifest["files"]}:
        raise web.HTTPNotFound(reason="This server does not make this kind of file.")
    site = site_of(request)
    saved = f"reachwatch-{site.file_prefix}{manifest['day']}-{name}"
    source, dot, ending = name.partition(".")
    headers = _headers(site, licence_of(source).url) | {
        "Content-Type": KINDS[dot + ending],
        "Content-Disposition": f'attachment; filename="{saved}"',
    }
    return web.FileResponse(_files(request).path(day, name), headers=headers)
