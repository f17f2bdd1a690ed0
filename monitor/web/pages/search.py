# SPDX-License-Identifier: Apache-2.0
"""The search box: service, domain, country, network, vantage, technique, event or measurement."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from aiohttp import web

from monitor.detection.model import Technique
from monitor.text import network_names, words
from monitor.text.language import _, country_names, current
from monitor.text.words import COUNTRIES
from monitor.web.render import render
from monitor.web.site import SITE, Site
from probes.wire.target import Service

MAX_WORD = 100
MOST = 20
"""Networks listed."""
_ADDRESSES = (
    (r"[0-9a-f]{16}", "/e/{}"),
    (r"[0-9a-f]{32}", "/m/{}"),
    (r"p-[0-9a-f]{16}", "/v/{}"),
)
"""Ids, and the pages that they are of."""


class Match(msgspec.Struct, frozen=True):
    """One thing that matches."""

    address: str
    name: str
    kind: str
    """What it is, in a word or two."""


async def page(request: web.Request) -> web.Response:
    """Redirect to the page of a word, or list what matches it."""
    word = " ".join(request.query.get("q", "").split())[:MAX_WORD]
    low = word.lower()
    site = request.app[SITE]
    for pattern, address in _ADDRESSES:
        if re.fullmatch(pattern, low):
            raise web.HTTPFound(address.format(low))
    found = await matches(site, low) if low else []
    if len(found) == 1:
        raise web.HTTPFound(found[0].address)
    return await render(
        request, "search.html", {"title": _("Search"), "found": found, "word": word}
    )


async def matches(site: Site, word: str) -> Sequence[Match]:
    """What a word in small letters may mean: countries, services, techniques, then networks; those
    that nobody measures only where nothing else is meant."""
    bare = word.removeprefix("the ")
    plain = {code: name.lower().removeprefix("the ") for code, name in COUNTRIES.items()}
    here = country_names(current().language)
    own = {code: here.get(code, "").lower() for code in COUNTRIES}
    places = [code for code in plain if bare in (code.lower(), plain[code], own[code])]
    found = [
        Match(f"/c/{code}", words.sentence(words.country(code)), _("country"))
        for code in places or [code for code in plain if _in(bare, plain[code])]
    ]
    found += [
        Match(f"/s/{service.id}", service.name, _("service"))
        for service in site.catalogue.services
        if _names(service, word)
    ]
    found += [
        Match(f"/method#technique-{each}", words.sentence(words.technique(each)), str(each))
        for each in map(str, Technique)
        if word == each or (len(word) > 3 and _in(word, words.technique(each).lower()))
    ]
    if number := re.fullmatch(r"(?:as ?)?([0-9]{1,10})", word):
        asn = int(number[1])
        return [*found, Match(f"/as/{asn}", network_names.network(asn), _("network"))]
    if len(word) > 2:
        present = await site.present.get()
        known = {state.asn for state in present.states()} | {row.asn for row in present.vantages}
        found += [
            Match(
                f"/as/{asn}",
                network_names.network(asn),
                _("network") if asn in known else _("network, not measured"),
            )
            for asn in network_names.find(word, known, MOST)
            if asn in known or not found
        ]
    return found


def _in(word: str, text: str) -> bool:
    """Whether a word of three letters or more begins a word of the text."""
    return len(word) > 2 and re.search(rf"\b{re.escape(word)}", text) is not None


def _names(service: Service, word: str) -> bool:
    hosts = (endpoint.host for target in service.targets for endpoint in target.endpoints)
    return word in service.id or word in service.name.lower() or any(word in host for host in hosts)
