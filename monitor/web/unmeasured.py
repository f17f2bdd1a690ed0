# SPDX-License-Identifier: Apache-2.0
"""Refuses services and targets that nobody has ever measured, on pages and in the API alike."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import Literal

from aiohttp import web

from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import was_measured
from monitor.store.records import Filter
from monitor.web.moment import site_of
from monitor.web.params import BadParameterError, chosen


async def refuse_unmeasured(request: web.Request) -> None:
    """Raise BadParameterError for a service or target that is neither in the catalogue nor in the
    store: an empty list of events would read as "not blocked"."""
    site, wanted = site_of(request), chosen(request)
    services = {each.id: each for each in site.catalogue.services}
    targets = {target.id for each in services.values() for target in each.targets}
    named: Sequence[tuple[Literal["service", "target"], str | None, Collection[str]]] = (
        ("service", wanted.service, services.keys()),
        ("target", wanted.target, targets),
    )
    for name, value, known in named:
        if value is None or value in known:
            continue
        async with site.database.reading() as connection:
            if await was_measured(connection, name, value):
                continue
            of_it = Filter(service=value) if name == "service" else Filter(target=value)
            if await list_events(connection, of_it, limit=1):
                continue
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadParameterError(f"{name}: {value} is not in the catalogue{hint}")
