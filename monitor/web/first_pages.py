# SPDX-License-Identifier: Apache-2.0
"""One page of each kind, asked for by the process that makes pages as soon as it can.

Whoever asks first for a page of a kind would otherwise wait until SQLAlchemy has written its
statements, the database has planned them and Python has loaded its words: two to four times as long
as the next one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import msgspec

from monitor.web.page_processes import AT_ONCE
from monitor.web.present import Present
from monitor.web.site import Site

FORMS = (
    "/",
    "/s",
    "/c",
    "/v",
    "/changes",
    "/feed.atom",
    "/live",
    "/method",
    "/s/{service}",
    "/s/{service}?range=30d",
    "/s/{service}?range=1y",
    "/c/{country}",
    "/c/{country}?range=30d",
    "/c/{country}?range=1y",
    "/as/{asn}",
    "/as/{asn}?range=30d",
    "/as/{asn}?range=1y",
    "/v/{vantage}",
    "/m/{measurement}",
    "/m?service={service}&country={country}&until=1h",
    "/m?asn={asn}&counted=no",
    "/m?event={event}",
    "/e/{event}",
    "/e/{event}?range=30d",
    "/e/{event}/rounds",
    "/explore?service={service}&by=rule&per=network&range=30d",
    "/explore?country={country}&by=technique&per=time&range=7d",
    "/compare?country={country}&range=30d",
    "/picture.svg?service={service}&range=30d",
    "/badge/{service}.svg",
    "/api/v1/events?service={service}&country={country}&since=7d",
    "/api/v1/services?service={service}",
    "/api/v1/networks",
    "/api/v1/vantages",
    "/api/v1/measurements?service={service}&until=1h",
    "/api/v1/timeline?service={service}&country={country}&since=30d",
    "/api/v1/timeline?by=network&service={service}&since=30d",
)
"""Addresses: of every kind that there may be many of, and for every kind of time."""
NEWEST = "/api/v1/measurements?limit=1"


class _Listed(msgspec.Struct):
    id: str


class _Newest(msgspec.Struct):
    measurements: list[_Listed] = []


def addresses(present: Present, measurement: str | None) -> list[str]:
    """The addresses of FORMS for which there is something in the store."""
    values: dict[str, object] = {"service": min(present.services, default=None)}
    if present.vantages:
        vantage = present.vantages[-1]
        values |= {"vantage": vantage.id, "country": vantage.country, "asn": vantage.asn}
    if present.opened:
        values["event"] = present.opened[0].id
    values["measurement"] = measurement
    given = {name: value for name, value in values.items() if value is not None}
    found = []
    for form in FORMS:
        try:
            found.append(form.format_map(given))
        except KeyError:
            continue
    return found


async def ask_for_each(site: Site, socket: Path) -> None:
    """Ask the application that serves `site` at a Unix socket for one page of each kind, over as
    many connections as pages are made at once: each of the database has plans of its own."""
    async with aiohttp.ClientSession(
        "http://pages", connector=aiohttp.UnixConnector(str(socket))
    ) as session:

        async def ask(path: str) -> bytes:
            async with session.get(path) as answer:
                return await answer.read()

        newest = msgspec.json.decode(await ask(NEWEST), type=_Newest).measurements
        paths = addresses(await site.present.get(), newest[0].id if newest else None)

        async def ask_in_turn() -> None:
            for path in paths:
                await ask(path)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask_in_turn())
