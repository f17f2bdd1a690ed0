# SPDX-License-Identifier: Apache-2.0
"""The ways to the monitor that a probe knows, in the order of what they cost."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from probes.runtime.broker_url import Broker, parse_way
from probes.runtime.proxy import Proxy

_COST = {"mqtts": 0, "mqtt": 0, "wss": 1, "ws": 1, "https": 2, "http": 2}
"""A connection that stays is cheaper than requests, and looks less like anything else."""


def in_order(urls: Iterable[str], proxy: Proxy | None = None) -> tuple[Broker, ...]:
    """Return the ways that these URLs name, the cheapest first, each once, and behind them the same
    through the proxy. Raises ValueError with the reason."""
    ways = {way.name: way for way in map(parse_way, urls)}
    direct = tuple(sorted(ways.values(), key=lambda way: _COST[way.scheme]))
    if proxy is None:
        return direct
    return (*direct, *(replace(way, proxy=proxy) for way in direct))


def of_web_server(url: str) -> tuple[str, ...]:
    """Return the ways that the web server at a base URL offers; none where the secret could be read
    by others."""
    way = parse_way(url)
    return () if way.exposed else (url,)
