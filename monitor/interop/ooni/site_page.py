# SPDX-License-Identifier: Apache-2.0
"""The page that web_connectivity got of a site in clear text, and the one that OONI's helper got,
as far as two pages can be compared (ts-017, "HTTP diff").

What a run gets over TLS alone is the service's own, and is not described. Redirects are followed by
their addresses: versions of the test list requests in different orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urljoin

from monitor.detection.observed.imported_run import SitePage
from monitor.interop.ooni.csvrows import is_address, split_url
from monitor.interop.ooni.document import (
    HelperHTTP,
    HTTPResponse,
    OONIExchange,
    address_of,
    body_of,
    failure_of,
    headers_of,
    title_of,
)
from monitor.interop.ooni.run import text
from probes.wire.block_pages import phrases_in
from probes.wire.observation import PageShape
from probes.wire.page_shape import page_shape

_MOST_HOPS = 10
_BEGINNING = 2048
_WORD = re.compile(r"[0-9A-Fa-f:.]{4,}")


def of_run(url: str, exchanges: Iterable[OONIExchange]) -> SitePage | None:
    """The page that the site of a run led to; None where it was not asked in clear text, or a
    request on the way was not answered."""
    answered: dict[tuple[str, str, int, str], OONIExchange] = {}
    for exchange in exchanges:
        asked = split_url(exchange.request.url)
        over_tor = (exchange.request.tor or {}).get("is_tor")
        if asked and not over_tor and exchange.response and failure_of(exchange.failure) is None:
            answered.setdefault(asked, exchange)
    at = split_url(url)
    if at is None or at[0] != "http":
        return None
    via = ""
    for _ in range(_MOST_HOPS):
        reply = answered.get(at)
        if reply is None or reply.response is None:
            return None
        via = via or address_of(reply.address)[0]
        headers = {name.lower(): value for name, value in headers_of(reply.response)}
        status = reply.response.code or 0
        if not (300 <= status < 400 and headers.get("location")):
            return _page(at, via, reply.response, headers.get("server", ""))
        url = _joined(url, headers["location"])
        at = split_url(url)
        if at is None:
            return None
    return None


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location.strip())
    except ValueError:
        return ""


def _page(at: tuple[str, str, int, str], via: str, response: HTTPResponse, server: str) -> SitePage:
    body = body_of(response)
    title = title_of(body)
    names = [(name.encode("utf-8", "replace"), b"") for name, _ in headers_of(response)]
    return SitePage(
        host=text(at[1], 255),
        via=via,
        proven=at[0] == "https",
        status=_status(response.code),
        title=_without_addresses(title),
        server=text(server, 64),
        known=phrases_in(title, body[:_BEGINNING]),
        shape=page_shape(names, body),
    )


def of_helper(http: HelperHTTP) -> SitePage | None:
    """The page that the helper got; None when it got none."""
    status = _status(http.status_code)
    if http.failure or not status:
        return None
    names = [(name.encode("utf-8", "replace"), b"") for name in http.headers or {}]
    headers = page_shape(names, b"").headers
    return SitePage(
        status=status,
        title=_without_addresses(text(" ".join((http.title or "").split()))),
        shape=PageShape(size=max(0, http.body_length or 0), headers=headers),
    )


def _status(code: int | None) -> int:
    return code if code and 0 < code < 1000 else 0


def _without_addresses(title: str) -> str:
    """A title without the addresses in it: block pages quote the reader's."""
    return _WORD.sub(lambda word: "…" if is_address(word[0].strip(".:")) else word[0], title)[:256]
