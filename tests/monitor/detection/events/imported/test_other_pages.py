"""A page in place of a site's accuses a network only where it serves several companies' names."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from monitor.detection.events.fold import initial, step
from monitor.detection.events.imported import neighbours
from monitor.detection.events.state import NetworkSign, ServiceState, decode, encode
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import Event, Tier
from monitor.detection.observed.imported_run import ROUND_MS, SitePage
from probes.wire.measurement import service_of
from probes.wire.observation import PageShape
from tests.monitor.detection.imported_runs import (
    GOOD,
    HOUR,
    POLICY,
    SITE,
    START,
    measurement,
    of_site,
    pages,
    stored,
)

SITES = ("viber/site", "imo/site", "facebook/site", "instagram/site")
NOTICE = "Contenu bloque par decision"
OWN = "Messagerie gratuite et simple"
"""What a service shows in some country in place of what it shows the helper."""
HERE, BESIDE, ABROAD, FAR = ("KE", 64500), ("KE", 64501), ("TZ", 64502), ("UG", 64503)
QUIET = 24
PLACES = (HERE, BESIDE, ABROAD, FAR)


def seen(title: str) -> dict[str, object]:
    """The pages of a run: the helper's own, or one with this title."""
    theirs = SitePage(status=200, title="Messenger", shape=PageShape(size=50_000))
    mine = SitePage(host=SITE, status=200, title=title or "Messenger", shape=PageShape(size=900))
    return dict(pages(mine, theirs))


@dataclass
class Sites:
    """Sites that are visited in clear text in each network, once an hour."""

    sites: tuple[str, ...] = SITES[:2]
    places: tuple[tuple[str, int], ...] = PLACES
    states: dict[str, ServiceState] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    hour: int = 0

    def run(self, hours: int, shown: dict[tuple[str, int], str] | None = None) -> Sites:
        """`shown`: the title of the page in place of a site's; everything else is right."""
        for hour in range(self.hour, self.hour + hours):
            told = {name: state.told for name, state in self.states.items()}
            for site in self.sites:
                self._visit(site, START + hour * HOUR, shown or {}, told)
        self.hour += hours
        return self

    def _visit(
        self,
        site: str,
        at: int,
        shown: dict[tuple[str, int], str],
        told: dict[str, tuple[NetworkSign, ...]],
    ) -> None:
        name = service_of(site)
        runs = []
        for country, asn in self.places:
            title = shown.get((site, asn), "")
            run = of_site(GOOD, **seen(title))
            runs.append(stored(measurement(run, at, asn, country, site)))
        round = at - at % ROUND_MS
        state = decode(encode(self.states.get(name) or initial(name)))
        heard = neighbours.heard(name, told, round, POLICY)
        facts = facts_of(runs, round, POLICY)
        self.states[name], changed = step(state, round, facts, POLICY, heard=heard)
        self.events |= {event.id: event for event in changed}

    @property
    def accused(self) -> set[tuple[str, str, Tier]]:
        return {(event.service, event.country, event.tier) for event in self.events.values()}


def everywhere(title: str, *sites: str, asns: tuple[int, ...]) -> dict[tuple[str, int], str]:
    return {(site, asn): title for site in sites for asn in asns}


def quiet(*sites: str, places: tuple[tuple[str, int], ...] = PLACES) -> Sites:
    return Sites(sites or SITES[:2], places).run(QUIET)


def test_one_page_for_sites_of_two_companies() -> None:
    """While a third site passes, it counts from the hour on in which both are known of."""
    world = quiet("viber/site", "imo/site", "facebook/site")
    world.run(12, everywhere(NOTICE, "viber/site", "imo/site", asns=(64500,)))
    assert world.accused == {("viber", "KE", Tier.LIKELY), ("imo", "KE", Tier.LIKELY)}
    (event,) = [event for event in world.events.values() if event.service == "imo"]
    assert event.technique == "http.blockpage"
    assert "control_by_helper" in event.against
    assert event.onset <= START + (QUIET + 2) * HOUR


def test_where_nothing_passes_in_clear_text_it_must_last_a_day() -> None:
    """A notice of the provider in whatever is asked looks the same."""
    blocked = everywhere(NOTICE, *SITES[:2], asns=(64500,))
    world = quiet().run(22, blocked)
    assert world.accused == set()
    world.run(12, blocked)
    assert {place[:2] for place in world.accused} == {("viber", "KE"), ("imo", "KE")}


@pytest.mark.parametrize(
    ("sites", "shown"),
    [
        (SITES[:3], everywhere(OWN, "viber/site", asns=(64500, 64501))),
        (SITES[:3], everywhere(OWN, "viber/site", asns=(64500, 64501, 64502))),
        (
            ("facebook/site", "instagram/site", "imo/site"),
            everywhere(OWN, "facebook/site", "instagram/site", asns=(64500, 64501)),
        ),
        (
            SITES[:3],
            everywhere(OWN, *SITES[:2], asns=(64500,)) | {("facebook/site", 64502): OWN},
        ),
        (
            SITES[:3],
            {("viber/site", 64500): "Viber en votre langue", ("imo/site", 64500): "Bienvenue"},
        ),
        (SITES[:3], everywhere("403 Forbidden", *SITES[:2], asns=(64500, 64501))),
    ],
    ids=["by region", "everywhere", "one company", "abroad too", "each its own", "server's words"],
)
def test_what_may_be_the_services_own(
    sites: tuple[str, ...], shown: dict[tuple[str, int], str]
) -> None:
    assert quiet(*sites).run(40, shown).accused == set()


def test_it_ends_when_the_page_is_right_again() -> None:
    world = quiet("viber/site", "imo/site", "facebook/site")
    world.run(12, everywhere(NOTICE, "viber/site", "imo/site", asns=(64500,))).run(80)
    assert {str(event.state) for event in world.events.values()} == {"closed"}


def test_one_page_seen_once_is_forgotten() -> None:
    """Two hosts that showed it weeks apart did not show it together."""
    world = quiet("viber/site", "imo/site", "facebook/site")
    world.run(3, {("imo/site", 64500): NOTICE}).hour += 15 * 24
    world.run(12, {("viber/site", 64500): NOTICE})
    assert world.accused == set()


def test_what_others_get_later_is_taken_back() -> None:
    """A content network began to refuse one country before the next."""
    first = everywhere(OWN, "viber/site", "imo/site", asns=(64500,))
    world = quiet("viber/site", "imo/site", "facebook/site").run(12, first)
    assert len(world.accused) == 2
    world.run(12, first | everywhere(OWN, "viber/site", asns=(64502,)))
    assert {str(event.state) for event in world.events.values()} == {"retracted"}
