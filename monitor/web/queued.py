# SPDX-License-Identifier: Apache-2.0
"""How the web server tells a process that makes pages since when a request has waited."""

from __future__ import annotations

from aiohttp import web

from monitor.store.shared_transactions import Queued

BEHIND: web.AppKey[bool] = web.AppKey("behind", bool)
"""Of an application whose requests all come from the web server's own process."""
_HEADER = "Queued"


def queued_header(queued: Queued) -> dict[str, str]:
    """The header of a request that tells it."""
    return {_HEADER: f"{queued.arrived!r} {queued.followed:d}"}


def queued_of(request: web.Request) -> Queued | None:
    """What the header tells; None where a visitor could have written it."""
    if not request.app.get(BEHIND) or (told := request.headers.get(_HEADER)) is None:
        return None
    arrived, followed = told.split()
    return Queued(float(arrived), followed == "1")
