# SPDX-License-Identifier: Apache-2.0
"""Worlds of visits in clear text, drawn at random: services show other pages than OONI's helper got
for reasons of their own, and in some a country shows a page in place of theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from benchmarks.importing.worlds import DAY, TIMEOUT, Place, World, history, places
from monitor.detection.judge.imported_run import judge
from monitor.detection.model import Verdict
from monitor.detection.observed.imported_run import SitePage
from probes.wire.observation import PageShape
from probes.wire.page_shape import page_shape
from tests.monitor.detection.imported_runs import GOOD, SITE, dial, measurement, of_site, pages

Shown = Callable[[Place, str, float], str | None]
SITES = tuple(f"{name}/site" for name in ("viber", "imo", "slack", "skype", "wire", "zalo"))
"""Each of another company."""
META = ("facebook/site", "instagram/site", "whatsapp/site")


@cache
def page_verdict(target: str, title: str | None) -> Verdict:
    """The verdict on a visit in clear text that gets the right page, or one with this title."""
    if title == TIMEOUT:
        return judge(measurement([dial(GOOD, TIMEOUT)], target=target))
    theirs = SitePage(status=200, title="Messenger", shape=PageShape(size=50_000))
    lines = random.Random(title)
    words = " ".join("".join(lines.choices("abcdefgh", k=7)) for _ in range(60)).encode()
    shape = page_shape((), words)
    mine = SitePage(host=SITE, status=200, title=title or "Messenger", shape=shape)
    return judge(measurement(of_site(GOOD, **pages(mine, theirs)), target=target))


def _own_page(draw: random.Random, where: Sequence[Place], begins: float) -> Shown:
    """A page that services show some readers in place of the usual one."""
    kind = draw.choice(("region", "company", "front", "refusal", "notice"))
    countries = sorted({place.country for place in where})
    some = set(draw.sample(countries, draw.randint(1, min(len(countries), 6))))
    sites = draw.sample(SITES, draw.randint(1, 4))
    lasts = draw.uniform(0.5, 40)
    hit = {place.asn for place in where if draw.random() < 0.1}

    def shown(place: Place, target: str, at: float) -> str | None:
        if at < begins or (kind != "notice" and place.country not in some):
            return None
        match kind:
            case "region":  # each service in its own words
                return f"Bienvenue {target} chez vous" if target in sites else None
            case "company":  # all services of one
                return "Votre consentement" if target in META else None
            case "front":  # a content network's refusal, in several countries
                told = target in sites and len(some) > 1
                return "Verification de votre navigateur" if told else None
            case "refusal":  # what any server says
                return "403 Forbidden" if target in sites else None
            case _:  # a provider's notice on some lines
                on = place.asn in hit and at < begins + lasts
                return "Facture impayee chez votre operateur" if on else None

    return shown


def own_pages(draw: random.Random) -> World:
    """Services show other pages than OONI's helper gets, for reasons of their own."""
    where = places(draw, draw.randint(2, 20))
    causes = [_own_page(draw, where, history(draw)) for _ in range(draw.randint(1, 4))]

    def failing(place: Place, target: str, at: float) -> str | None:
        return next((page for shown in causes if (page := shown(place, target, at))), None)

    targets = (*SITES[: draw.randint(2, 6)], *META)
    return World(where, failing, 25 * DAY, targets=targets, service="viber", judged=page_verdict)


def block_page(draw: random.Random) -> World:
    """A country shows a page in place of some sites, the operators' own or one of all; elsewhere
    services show other pages for their own reasons."""
    world = own_pages(draw)
    begins, own = history(draw), draw.random() < 0.5
    hit = {"viber/site", *draw.sample(SITES[1:], draw.randint(1, 3))}
    share = draw.choice((1.0, 1.0, 0.8))
    part = {place.asn for place in world.places if draw.random() < 0.8}
    chance = random.Random(draw.random())

    def failing(place: Place, target: str, at: float) -> str | None:
        hits = place.country == "C00" and target in hit and place.asn in part
        if hits and at >= begins and chance.random() < share:
            words = ("sept", "huit", "neuf", "onze")[place.asn % 4] if own else "etat"
            return f"Acces interdit selon decision operateur-{words}{words}"
        return world.failing(place, target, at)

    blocked = (
        {"C00": begins} if any(p.country == "C00" and p.asn in part for p in world.places) else {}
    )
    return replace(world, failing=failing, hours=begins + 10 * DAY, blocked=blocked)


PAGE_KINDS: dict[str, Callable[[random.Random], World]] = {
    "pages of services": own_pages,
    "block page": block_page,
}
