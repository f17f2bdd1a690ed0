# SPDX-License-Identifier: Apache-2.0
"""The search box: service, domain, country, network, vantage, technique, event or measurement."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web
from msgspec.structs import replace

from monitor.detection.model import Event, Technique
from monitor.text import event_headlines, network_names, words
from monitor.text.language import _, country_names, current
from monitor.text.words import COUNTRIES
from monitor.web.draw.matrix import RANK
from monitor.web.moment import present_of, site_of
from monitor.web.present import Present
from monitor.web.render import render
from monitor.web.site import Site
from probes.wire.target import Service

MAX_WORD = 100
MOST = 20
"""Matches listed of each kind."""
ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "discord": ("дискорд",),
    "instagram": ("инстаграм", "инстаграмм"),
    "line": ("лайн",),
    "linkedin": ("领英", "линкедин", "линкедін"),
    "max": ("макс",),
    "messenger": ("фейсбук мессенджер", "facebook messenger"),
    "qq": ("腾讯qq", "куку"),
    "signal": ("сигнал",),
    "telegram": ("телеграм", "телеграмм", "тг", "电报", "纸飞机"),
    "viber": ("вайбер",),
    "vk": ("вконтакте", "вк"),
    "wechat": ("微信", "weixin", "вичат", "викат"),
    "whatsapp": ("ватсап", "вотсап", "вацап"),
    "zalo": ("зало",),
    "zoom": ("зум",),
}
"""What services are called elsewhere, in small letters, by their id."""
_SIMILAR = 0.8
"""How alike a mistyped word and a name must be (`difflib`), where nothing else is meant."""
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
    state: str = ""
    """The surest open event there, in a sentence."""


async def page(request: web.Request) -> web.Response:
    """Redirect to the page of a word, or list what matches it."""
    word = " ".join(request.query.get("q", "").split())[:MAX_WORD]
    low = word.lower()
    site = site_of(request)
    for pattern, address in _ADDRESSES:
        if re.fullmatch(pattern, low):
            raise web.HTTPFound(address.format(low))
    present = await present_of(request)
    meant = with_state(site, matches(site, low, present), present.opened)
    listed = shortened(meant)
    if len(listed) == 1:
        raise web.HTTPFound(listed[0].address)
    return await render(
        request,
        "search.html",
        {"title": _("Search"), "found": listed, "more": len(meant) > len(listed), "word": word},
    )


def shortened(meant: Sequence[Match]) -> Sequence[Match]:
    """The first MOST of each kind; of one that is cut those where something is open come first."""
    listed: list[Match] = []
    for _kind, alike in itertools.groupby(meant, lambda match: re.split("[/#]", match.address)[1]):
        kind = list(alike)
        if len(kind) > MOST:
            kind.sort(key=lambda match: not match.state)
        listed += kind[:MOST]
    return listed


def with_state(site: Site, plain: Sequence[Match], opened: Sequence[Event]) -> Sequence[Match]:
    """The same, with what is open in each."""
    states: dict[str, str] = {}
    for event in sorted(opened, key=lambda event: RANK[event.tier]):
        if event.stands:
            name = site.service_names.get(event.service, event.service)
            headline = event_headlines.headline(event, name)
            places = (f"/s/{event.service}", f"/c/{event.country}")
            for address in (*places, *(f"/as/{asn}" for asn in event.asns)):
                states.setdefault(address, headline)
    return [replace(match, state=states.get(match.address, "")) for match in plain]


def matches(site: Site, word: str, present: Present) -> Sequence[Match]:
    """What a word in small letters may mean, nothing if it is empty: countries, services,
    techniques, then networks; those that nobody measures only where nothing else is meant."""
    if not word:
        return []
    services = site.catalogue.services
    meant = [
        *_countries(word.removeprefix("the ")),
        *(_service(service) for service in services if _names(service, word)),
        *_techniques(word),
    ]
    meant += _networks(word, present, others=not meant)
    return meant or [_service(service) for service in _similar(services, word)]


def _countries(word: str) -> Iterable[Match]:
    """Those that are called or abbreviated so; where there are none, those with such a word."""
    english = {code: name.lower().removeprefix("the ") for code, name in COUNTRIES.items()}
    here = country_names(current().language)
    called = {code: (code.lower(), english[code], here.get(code, "").lower()) for code in english}
    codes = [code for code in english if word in called[code]]
    for code in codes or [code for code in english if _in(word, english[code])]:
        yield Match(f"/c/{code}", words.sentence(words.country(code)), _("country"))


def _service(service: Service) -> Match:
    return Match(f"/s/{service.id}", service.name, _("service"))


def _techniques(word: str) -> Iterable[Match]:
    for technique in map(str, Technique):
        name = words.technique(technique)
        written = word.replace(" ", "") in technique  # "block page"
        if word == technique or (len(word) > 3 and (written or _in(word, name.lower()))):
            yield Match(f"/method#technique-{technique}", words.sentence(name), technique)


def _networks(word: str, present: Present, others: bool) -> Iterable[Match]:
    """The network of a number, else those with such a name: measured ones, and with `others` those
    that nobody measures."""
    if number := re.fullmatch(r"(?:as ?)?([0-9]{1,10})", word):
        asn = int(number[1])
        yield Match(f"/as/{asn}", network_names.network(asn), _("network"))
    elif len(word) > 2:
        measured = {state.asn for state in present.states()}
        measured |= {vantage.asn for vantage in present.vantages}
        for asn in network_names.find(word, measured, MOST + 1):
            if others or asn in measured:
                kind = _("network") if asn in measured else _("network, not measured")
                yield Match(f"/as/{asn}", network_names.network(asn), kind)


def _similar(services: Iterable[Service], word: str) -> list[Service]:
    """The services whose names are spelt nearly so."""
    return [
        service
        for service in services
        if difflib.get_close_matches(word, _called(service), n=1, cutoff=_SIMILAR)
    ]


def _called(service: Service) -> tuple[str, ...]:
    return (service.id, service.name.lower(), *ALSO_CALLED.get(service.id, ()))


def _in(word: str, text: str) -> bool:
    """Whether a word of three letters or more begins a word of the text."""
    return len(word) > 2 and re.search(rf"\b{re.escape(word)}", text) is not None


def _names(service: Service, word: str) -> bool:
    hosts = (endpoint.host for target in service.targets for endpoint in target.endpoints)
    called = _called(service)
    return any(word in name for name in called) or any(word in host for host in hosts)
