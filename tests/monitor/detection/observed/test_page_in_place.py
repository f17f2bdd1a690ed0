"""Another page than OONI's helper got: most are the service's own, and few can be known again."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.fingerprints import OWN
from monitor.detection.observed.imported_run import Helper, RunRecord, SitePage
from monitor.detection.observed.page_in_place import (
    AWAY,
    KNOWN,
    LEGAL,
    NOTHING,
    OTHER,
    SAME,
    PageInPlace,
    page_in_place,
)
from probes.wire.observation import PageShape
from probes.wire.page_shape import page_shape

SITE = "www.example.com"


def site_page(title: str = "", size: int = 9000, headers: str = "", **more: Any) -> SitePage:
    names = [(name.encode(), b"") for name in headers.split()]
    shape = PageShape(size=size, headers=page_shape(names, b"").headers)
    return SitePage(**{"host": SITE, "status": 200, "title": title, "shape": shape} | more)


THEIRS = site_page("Messenger for everyone", 30_000, "x-edge x-frame-options", host="")


def beside(
    mine: SitePage | None, theirs: SitePage | None = THEIRS, country: str = "KE"
) -> PageInPlace:
    return page_in_place(RunRecord(page=mine, helper=Helper(name=SITE, page=theirs)), OWN, country)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (site_page("Messenger for everyone", 200), THEIRS),
        (site_page("Boodschapper", 28_000), THEIRS),
        (site_page("Diensten in uw land", 4000, "x-edge"), THEIRS),
        (
            site_page("Ihre Zustimmung", host="consent.example.com", proven=True),
            THEIRS,
        ),
        (site_page("Log in", host="login.example.de", proven=True), None),
        (site_page("Forbidden by law", status=403, proven=True), THEIRS),
        (site_page("Order", 5, known=("en.site_blocked",)), site_page("Order", host="")),
    ],
    ids=["title", "length", "by region", "consent", "login", "refused over tls", "helper's too"],
)
def test_pages_of_the_site(mine: SitePage, theirs: SitePage | None) -> None:
    assert beside(mine, theirs) == PageInPlace(SAME)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (None, THEIRS),
        (site_page("Not here"), None),
        (site_page("Not here"), site_page("Access denied", status=403, host="")),
        (site_page("Prove that you are human", status=403, headers="x-edge"), THEIRS),
        (site_page("Maintenance of the platform", status=503), THEIRS),
        (site_page("Slow down", status=429), THEIRS),
    ],
    ids=["none", "no helper", "helper refused", "captcha", "server's fault", "too many"],
)
def test_what_tells_nothing(mine: SitePage | None, theirs: SitePage | None) -> None:
    assert beside(mine, theirs) == NOTHING


@pytest.mark.parametrize(
    "mine",
    [
        site_page("403 Forbidden", status=403, server="nginx/1.24"),
        site_page("Access Denied", status=403),
        site_page("Welcome to nginx!"),
        site_page("", 300),
        site_page("Notre reseau vous protege", server="CloudFront"),
        site_page("example.com: 404 Not Found", status=404),
    ],
    ids=["server's own", "denied", "installed", "untitled", "front end", "names the site"],
)
def test_other_pages_that_any_host_may_show(mine: SitePage) -> None:
    assert beside(mine) == PageInPlace(OTHER)


def test_a_page_is_known_again() -> None:
    mark = beside(site_page("Contenido restringido 17")).mark
    assert mark
    assert beside(site_page("Example: contenido restringido 9", 512)).mark == mark
    assert beside(site_page("Ce contenu n'est pas disponible")).mark not in ("", mark)
    below = PageShape(size=9000, words=b"otherpage")
    assert beside(site_page("Contenido restringido 17", shape=below)).mark not in ("", mark)
    away = beside(site_page("Contenido restringido 17", host="Notice.operator.net"))
    assert away == PageInPlace(AWAY, "host notice.operator.net")
    assert beside(site_page("Indisponible ici", status=451)).kind == LEGAL


@pytest.mark.parametrize(
    "mine",
    [
        site_page(host="warning.rt.ru"),
        site_page(host="warning.rt.ru", proven=True),
        site_page("Order", known=("en.site_blocked",), host="portal.example.id"),
    ],
    ids=["host", "host over tls", "phrase"],
)
def test_known_block_pages(mine: SitePage) -> None:
    assert beside(mine) == beside(mine, None) == PageInPlace(KNOWN)
