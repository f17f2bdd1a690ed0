# SPDX-License-Identifier: Apache-2.0
"""Networks of a dump of libloc's database (`location dump`; IPFire's, CC BY-SA 4.0, which Debian
ships as libloc-database), as rows of the table of countries and networks.

A dump has networks within networks, each before those that it contains. The rows are ranges of
addresses that do not overlap, by the smallest network that holds them.
"""

from __future__ import annotations

import email.utils
import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from probes.runtime.geo_table import Origin

FIRST_WORDS = ("aut-num:", "net:")
"""One of them begins the first line of a dump that is no comment."""
_FIELD = re.compile(r"([a-z0-9-]+):\s+(.*)")
_STATED = {
    "source": re.compile(r"^# Vendor: +(.+)$", re.MULTILINE),
    "url": re.compile(r"obtained from (https://\S+)"),
    "licence": re.compile(r"^# License: +(.+)$", re.MULTILINE),
    "licence_url": re.compile(r"license terms at (https://\S+)"),
}
"""What the comments at the beginning of a dump say of it."""
_DATE = re.compile(r"^# Generated: +(.+)$", re.MULTILINE)


class Row(NamedTuple):
    """A range of addresses, the line that it is from, and where it is."""

    line: int
    cells: list[str]
    """First and last address, AS number, country."""


class _Network(NamedTuple):
    line: int
    begin: int
    end: int
    version: int
    place: tuple[str, str]
    """AS number and country, as text; empty where the dump does not say."""


def origin(comments: Iterable[str]) -> Origin:
    """Where a dump is from, by the comments at its beginning."""
    text = "\n".join(comments)
    stated = {name: match[1] for name, form in _STATED.items() if (match := form.search(text))}
    made = _DATE.search(text)
    try:
        day = email.utils.parsedate_to_datetime(made[1]).date() if made else None
    except ValueError:
        day = None
    return Origin(**stated, made=day)


def rows(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """Yield the rows of a dump's numbered lines. Raises ValueError with line and reason."""
    last: _Network | None = None
    for network in _innermost(_networks(lines)):
        if last is not None and _continues(last, network):
            last = last._replace(end=network.end)
            continue
        if last is not None:
            yield _row(last)
        last = network
    if last is not None:
        yield _row(last)


def _networks(lines: Iterable[tuple[int, str]]) -> Iterator[_Network]:
    """The networks as they stand in the dump: blocks of fields, between blank lines."""
    block: dict[str, str] = {}
    number = 0
    for number, text in lines:
        if field := _FIELD.fullmatch(text.strip()):
            if field[1] == "net" and "net" in block:
                raise ValueError(f"{number}: two networks without a blank line between them")
            block[field[1]] = field[2]
            continue
        if text.strip():
            raise ValueError(f"{number}: {text[:40]!r} is not a field")
        if "net" in block:
            yield _network(number, block)
        block = {}
    if "net" in block:
        yield _network(number, block)


def _network(line: int, block: dict[str, str]) -> _Network:
    try:
        net = ipaddress.ip_network(block["net"])
    except ValueError:
        raise ValueError(f"{line}: {block['net'][:60]!r} is not a network") from None
    begin = int(net.network_address)
    place = block.get("aut-num", "0"), block.get("country", "")
    return _Network(line, begin, begin + net.num_addresses - 1, net.version, place)


def _innermost(networks: Iterable[_Network]) -> Iterator[_Network]:
    """Ranges without overlaps, in order: of each network what none within it holds."""
    around: list[_Network] = []
    for network in networks:
        while around and not _holds(around[-1], network):
            yield from _rest(around)
        if around:
            outer = around[-1]
            if outer.begin < network.begin:
                yield outer._replace(end=network.begin - 1)
            around[-1] = outer._replace(begin=network.end + 1)
        around.append(network)
    while around:
        yield from _rest(around)


def _rest(around: list[_Network]) -> Iterator[_Network]:
    """What is left of the innermost network when the next one lies beyond it."""
    network = around.pop()
    if network.begin <= network.end:
        yield network


def _holds(outer: _Network, inner: _Network) -> bool:
    if outer.version != inner.version or inner.begin > outer.end:
        return False
    if inner.begin < outer.begin or inner.end > outer.end:
        raise ValueError(f"{inner.line}: the networks are not in order")
    return True


def _continues(last: _Network, network: _Network) -> bool:
    return (last.version, last.place, last.end + 1) == (
        network.version, network.place, network.begin,
    )  # fmt: skip


def _row(network: _Network) -> Row:
    kind = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address
    return Row(network.line, [str(kind(network.begin)), str(kind(network.end)), *network.place])
