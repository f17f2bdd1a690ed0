"""The page that came in place of a site's, told in a sentence."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.observed.imported_run import SitePage
from monitor.text.page_in_place import page_sentence
from probes.wire.observation import PageShape
from tests.monitor.detection.imported_runs import GOOD, SITE, measurement, of_site, pages

MINE = SitePage(host=SITE, via=GOOD, status=403, title="Contenu bloque", shape=PageShape(size=9))
THEIRS = SitePage(status=200, title="Messenger", shape=PageShape(size=50_000))
IN_PLACE = ", in place of “Messenger” (status 200), which OONI’s test helper got."


def said(mine: SitePage | None, theirs: SitePage | None = THEIRS) -> str:
    return page_sentence(measurement(of_site(GOOD, **pages(mine, theirs)), target="viber/site"))


def test_both_titles() -> None:
    first = "In clear text, another page came: “Contenu bloque” (status 403)"
    assert said(MINE) == first + IN_PLACE
    away = replace(MINE, host="notice.operator.net")
    assert said(away) == first + ", at notice.operator.net" + IN_PLACE


def test_without_a_title_or_the_helpers_page() -> None:
    untitled = replace(MINE, title="")
    assert said(untitled).startswith("In clear text, another page came: a page without a title (st")
    known = replace(MINE, known=("en.site_blocked",))
    assert said(known, None) == "In clear text, another page came: “Contenu bloque” (status 403)."


def test_nothing_is_said_of_the_sites_own_page() -> None:
    assert said(replace(MINE, title="Messenger")) == ""
    assert said(None) == ""
    assert said(MINE, None) == ""


def test_a_strangers_title_is_one_line() -> None:
    told = said(replace(MINE, title="a\u202eb\nc" + "x" * 2000))
    assert "\u202e" not in told
    assert "\n" not in told
    assert len(told) < 600
