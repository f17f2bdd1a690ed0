"""What a researcher asks of a block is two links away from the overview, and the page of an event
fits four screens of a phone: with and without JavaScript."""

from __future__ import annotations

import pytest

from tests.monitor.web.browsing import OTHERS, PAGES, complaints, each_language, speak
from tests.world import site as world
from tests.world.browser import Tab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.needs("chromium", "chromium-driver", "fonts-dejavu-core"),
]
EVENT = f"/e/{world.CONFIRMED}"
PHONE, SCREENS = (390, 844), 3.9


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("language", each_language())
def test_four_questions_are_answered_in_two_clicks(
    tab: Tab, address: str, language: str, scripts: bool
) -> None:
    speak(tab, language)
    tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def ask(link: str) -> str:
        tab.go(address)
        tab.follow(f"#open ~ .rows a[href='{EVENT}']")
        tab.follow(f".ask a[href^='{link}']")
        return tab.address()

    for size in (PHONE, (1280, 900)):
        tab.look(*size)
        assert f"/m?event={world.CONFIRMED}" in ask("/m?event=")
        rows = tab.nodes("table.cards tbody tr")
        assert rows
        assert "wechat/web" in tab.text("table.cards tbody")
        assert "AS64501" in tab.text("table.cards tbody")

        then = ask("/explore?asn=")
        assert "asn=64501" in then
        assert "since=" in then
        assert "WeChat" in tab.text("table.matrix")
        assert "AS64501" in tab.text("main .over")

        # The headline is of today, so the page is shown from the answer on.
        earlier = ask(f"{EVENT}?since=")
        assert "since=2026-" in earlier
        assert earlier.endswith("#time")
        assert "2026" in tab.text("#time")
        assert tab.nodes("article.place")

        tab.go(address)
        tab.follow(f"#open ~ .rows a[href='{EVENT}']")
        tab.click(".ask a[href='#surer']")
        assert tab.nodes("details[open] #surer")
        assert not tab.heard("Network.loadingFailed")
    assert complaints(tab) == []


@pytest.mark.parametrize("language", each_language())
def test_the_page_of_an_event_is_four_screens_of_a_phone(
    tab: Tab, address: str, language: str
) -> None:
    speak(tab, language)
    tab.look(*PHONE)
    for path in (PAGES["event"], *(path for path in OTHERS.values() if path.startswith("/e/"))):
        tab.go(address + path)
        height = tab.ask("document.documentElement.scrollHeight")
        assert height <= SCREENS * PHONE[1], (path, height)


def test_nothing_is_folded_on_a_wide_screen(tab: Tab, address: str) -> None:
    tab.look(1280)
    tab.go(address + EVENT)
    hidden = "[...document.querySelectorAll('.narrow')].filter((e) => !e.lastElementChild."
    assert tab.ask("document.querySelectorAll('.narrow').length") > 5
    assert tab.ask(f"{hidden}checkVisibility({{contentVisibilityAuto: true}})).length") == 0
    tab.look(*PHONE)
    assert tab.ask(f"{hidden}checkVisibility({{contentVisibilityAuto: true}})).length") > 5
