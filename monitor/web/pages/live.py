# SPDX-License-Identifier: Apache-2.0
"""The newest judged measurements, and a stream of server-sent events that tells a page when
something new was concluded. Without scripts the page is read again by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from aiohttp import web

from monitor.store.reading.measurements import list_judged
from monitor.store.records import Filter
from monitor.text.language import _
from monitor.web.moment import site_of
from monitor.web.render import render
from monitor.web.views import until_of

ROWS = 50
MAX_STREAMS = 100
"""Streams at once; a further one is refused, and its page reads itself again every half minute."""
CHECK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
"""A comment is sent this often, so that proxies keep an idle stream."""
LONGEST_SECONDS = 3600.0
"""A stream ends after this; browsers open it again by themselves."""
STREAMS: web.AppKey[set[object]] = web.AppKey("streams", set)
ENDING: web.AppKey[asyncio.Event] = web.AppKey("ending", asyncio.Event)


async def page(request: web.Request) -> web.Response:
    """Render the newest measurements."""
    site = site_of(request)
    async with site.database.reading() as connection:
        rows = await list_judged(connection, Filter(until=until_of(site)), limit=ROWS)
    values = {"title": _("Live"), "rows": rows, "names": site.service_names}
    return await render(request, "live.html", values)


async def stream(request: web.Request) -> web.StreamResponse:
    """Send an event whenever something new was concluded."""
    streams = request.app[STREAMS]
    if len(streams) >= MAX_STREAMS:
        raise web.HTTPServiceUnavailable(reason="Too many streams.", headers={"Retry-After": "60"})
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    token = object()
    streams.add(token)
    try:
        await _send(request, response)
    except ConnectionError:
        pass  # the reader has gone
    finally:
        streams.discard(token)
    return response


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    site, ending = site_of(request), request.app[ENDING]
    known = (await site.present.get()).revision
    await response.write(b"retry: 5000\n\n")
    began = said = time.monotonic()
    while not ending.is_set() and time.monotonic() - began < LONGEST_SECONDS:
        revision = (await site.present.get()).revision
        if revision != known:
            known, said = revision, time.monotonic()
            await response.write(b"event: concluded\ndata: %d\n\n" % revision)
        elif time.monotonic() - said > KEEP_ALIVE_SECONDS:
            said = time.monotonic()
            await response.write(b": nothing new\n\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await ending.wait()


async def end_streams(app: web.Application) -> None:
    """End every stream, so that the server need not wait for its readers."""
    app[ENDING].set()
