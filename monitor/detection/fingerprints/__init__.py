"""Known block pages: pages, hosts and addresses, as data of our own with source and date.

A match is only ever evidence beside the control: a page that the control gets too is the
service's own. Larger public lists can be loaded beside these later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.detection.fingerprints.known import ADDRESSES, HOSTS, PHRASES
from probes.wire.observation import HTTPExchange


@dataclass(frozen=True)
class Page:
    """A text that only block pages show."""

    id: str
    pattern: re.Pattern[str]
    source: str


_PAGES = tuple(
    Page(id, re.compile(pattern, re.IGNORECASE | re.MULTILINE), source)
    for id, pattern, source in PHRASES
)
_ADDRESSES = {address: id for id, address, _ in ADDRESSES}
_HOSTS = tuple((host, id) for id, host, _ in HOSTS)


def page(exchange: HTTPExchange) -> str | None:
    """Return the fingerprint's id when an answer is a known block page or leads to a known
    block host; else None."""
    if exchange.location and (id := host(redirect_host(exchange.location))) is not None:
        return id
    text = f"{exchange.title or ''}\n{exchange.excerpt.decode('utf-8', 'replace')}"
    return next((p.id for p in _PAGES if p.pattern.search(text)), None)


def host(name: str) -> str | None:
    """Return the fingerprint's id of a known block host or a name under it."""
    name = name.lower().rstrip(".")
    return next((id for known, id in _HOSTS if name == known or name.endswith("." + known)), None)


def address(text: str) -> str | None:
    """Return the fingerprint's id of an address that is known to serve block pages."""
    return _ADDRESSES.get(text)


def redirect_host(location: str) -> str:
    """Host of a redirect's target; empty for a relative or malformed one."""
    try:
        return (urlsplit(location.strip()).hostname or "").lower()
    except ValueError:
        return ""
