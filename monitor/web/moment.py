# SPDX-License-Identifier: Apache-2.0
"""The moment that a request asks about: now, or with `?as_of=TIME` one of the past, of which it
gets state, headline and confidence as they were published.

Every answer that shows conclusions is of one moment, and names it: what it reads from the store and
the present that is kept in memory are of one transaction, and the header CONCLUSIONS numbers it.
Answers with the same number agree, whichever page, list, badge, feed or scrape they are; events
over MQTT name the number in the field `conclusions`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from aiohttp import web

from monitor.store.engines import ReadTransaction
from monitor.store.records import StoreUnavailableError
from monitor.web.answers import CONCLUSIONS
from monitor.web.params import BadParameterError, time_of
from monitor.web.present import Present
from monitor.web.queued import queued_of
from monitor.web.site import SITE, Site

_NUMBER: web.RequestKey[int] = web.RequestKey("conclusions", int)
_MOMENT: web.RequestKey[Site] = web.RequestKey("moment", Site)
_UNREADABLE: web.RequestKey[bool] = web.RequestKey("unreadable", bool)
_READ: web.RequestKey[tuple[ReadTransaction, Present]] = web.RequestKey("read", tuple)


def site_of(request: web.Request) -> Site:
    """The site as it was at the moment that the request asks about. Raises BadParameterError."""
    if _MOMENT in request:
        return request[_MOMENT]
    # What is wrong with the moment is told on a page of the present.
    request[_MOMENT] = site = request.app[SITE]
    at = time_of(request, "as_of")
    if at is not None:
        if at > site.clock():
            raise BadParameterError("as_of: must not be in the future")
        site = dataclasses.replace(site, clock=lambda: at, as_of=at, present_clock=site.clock)
    request[_MOMENT] = site
    return site


@contextlib.asynccontextmanager
async def reading(request: web.Request) -> AsyncIterator[tuple[ReadTransaction, Present]]:
    """A transaction of the moment that the request asks about, and the present as it was then. In
    the block of the first one of a request, everything is read in it. Raises BadParameterError,
    StoreUnavailableError."""
    if _READ in request:
        yield request[_READ]
        return
    site = site_of(request)
    # Whoever goes on with a transaction takes what the present reader has seen in it.
    queued = queued_of(request) if site.as_of is None else None
    async with site.present.reading(queued) as (connection, present):
        if present.conclusions is not None:
            request[_NUMBER] = present.conclusions
        request[_READ] = connection, present
        try:
            yield connection, present
        finally:
            del request[_READ]


@contextlib.asynccontextmanager
async def one_moment(request: web.Request) -> AsyncIterator[None]:
    """A block in which everything that the request reads is of one moment. A store that cannot be
    read is told by what reads it: some pages do not need it. Raises BadParameterError."""
    async with contextlib.AsyncExitStack() as block:
        try:
            await block.enter_async_context(reading(request))
        except StoreUnavailableError:
            request[_UNREADABLE] = True
        yield


def is_unreadable(request: web.Request) -> bool:
    """Whether `one_moment` found that the store cannot be read: to try again may take long."""
    return _UNREADABLE in request


async def present_of(request: web.Request) -> Present:
    """The present of the moment that the request asks about, for what reads nothing else. Raises
    BadParameterError, StoreUnavailableError."""
    async with reading(request) as (_connection, present):
        return present


def name_moment(request: web.Request, response: web.StreamResponse) -> None:
    """Add the header CONCLUSIONS to what was read with `reading`."""
    if _NUMBER in request:
        response.headers[CONCLUSIONS] = str(request[_NUMBER])
