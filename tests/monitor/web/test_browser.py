"""The pages in Debian's Chromium: nothing fails, nothing overflows, everything can be read.

Chromium is told not to talk to anybody, and a page that asks a foreign host fails this test.
"""

from __future__ import annotations

import pytest

from monitor.text.language import LANGUAGES, SOURCE
from tests.monitor.web.browsing import PAGES, complaints, speak
from tests.world import site as world
from tests.world.browser import Tab
from tests.world.waiting import wait_until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.needs("chromium", "chromium-driver", "fonts-dejavu-core"),
]

SHORT = {"rounds", "changes", "live", "explore", "measurements"}
"""Pages of one section; in this world nobody can say how an event came about, round by round."""
WITHOUT_PICTURES = {
    "data",
    "dictionary",
    "measurement",
    "services",
    "vantages",
    "status",
    "method",
} | SHORT
CONTRAST = """
(() => {
  const parse = (text) => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1];
  };
  const light = (c) => {
    const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]);
  };
  const under = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("svg, script, .hidden")) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const a = light(parse(style.color)), b = light(under(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) bad.push([ratio.toFixed(2), node.data.trim().slice(0, 40)]);
  }
  const field = document.querySelector("#q");
  const hint = getComputedStyle(field, "::placeholder");
  const a = light(parse(hint.color)), b = light(under(field));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(["placeholder", hint.color]);
  return { seen, bad };
})()
"""
OVERFLOW = """
(() => {
  const wide = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll("body *")].filter((element) => {
    // What is a card on a phone has no reason to be scrolled sideways.
    const frame = wide < 600 ? ".scroll:not(:has(.sheet))" : ".scroll";
    if (element.closest(frame + ", .hidden, .defs, .skip, svg, pre")) return false;
    const box = element.getBoundingClientRect();
    return box.width && box.right > wide + 0.5;
  });
  return {
    document: document.documentElement.scrollWidth - wide,
    out: out.map((element) => element.tagName + "." + element.className).slice(0, 5),
  };
})()
"""
STRUCTURE = """
(() => ({
  title: document.title,
  language: document.documentElement.lang,
  headings: document.querySelectorAll("h1").length,
  main: document.querySelectorAll("main").length,
  pictures: [...document.querySelectorAll("svg[role=img], svg[role=group]")].map((svg) => ({
    named: Boolean(svg.getAttribute("aria-label")) && Boolean(svg.querySelector("title")),
    twin: Boolean(svg.closest("section, article").querySelector("details.twin, [role=table]")),
  })),
  unnamed: [...document.querySelectorAll("a, button, input:not([type=hidden])")].filter(
    (element) => !(element.textContent.trim() || element.getAttribute("aria-label") ||
      (element.labels && element.labels.length))).length,
  // A symbol of a state is as large as a letter.
  huge: [...document.querySelectorAll(".mark svg")].filter(
    (svg) => svg.getBoundingClientRect().width > 16).length,
  // What a table says begins on the screen, however long the names of its rows are.
  away: [...document.querySelectorAll(".matrix")].filter(
    (table) => table.querySelector("td").getBoundingClientRect().right >
      document.documentElement.clientWidth).length,
  small: [...document.querySelectorAll("main table")].filter(
    (table) => !table.querySelector("th")).length,
}))()
"""


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != SOURCE])
def test_no_language_is_too_wide_for_a_phone(tab: Tab, address: str, language: str) -> None:
    tab.look(390)
    try:
        names = ("overview", "service", "countries", "network", "event", "measurement", "method")
        for name in names:
            path = PAGES[name]
            tab.go(f"{address}{path}{'&' if '?' in path else '?'}lang={language}")
            assert tab.ask("document.documentElement.lang") == language
            overflow = tab.ask(OVERFLOW)
            assert overflow == {"document": 0, "out": []}, (name, overflow)
    finally:  # the choice is kept in a cookie, which all tabs share
        tab.go(f"{address}/?lang={SOURCE}")


def test_a_phone_shows_every_step_and_every_remark_without_scrolling(
    tab: Tab, address: str
) -> None:
    tab.look(320)
    tab.go(address + PAGES["network"])
    rights = "[...document.querySelectorAll('[aria-labelledby=now] .mark')].map((mark) =>"
    rights = tab.ask(f"{rights} mark.getBoundingClientRect().right)")
    assert rights
    assert max(rights) <= 320
    tab.go(address + PAGES["countries"])
    remark = "<small>measured by volunteers of OONI alone</small>"
    tab.ask(f"document.querySelector('.sheet td.n').innerHTML = '{remark}'")
    assert tab.ask(OVERFLOW) == {"document": 0, "out": []}


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (1280, False),
        (390, True),
        pytest.param(1280, True, marks=pytest.mark.rest),
        pytest.param(390, False, marks=pytest.mark.rest),
    ],
)
def test_pages_are_whole_and_readable(tab: Tab, address: str, width: int, dark: bool) -> None:
    tab.look(width, dark=dark)
    for name, path in PAGES.items():
        tab.go(address + path)
        assert tab.ask("matchMedia('(prefers-color-scheme: dark)').matches") is dark
        overflow = tab.ask(OVERFLOW)
        assert overflow == {"document": 0, "out": []}, (name, overflow)
        contrast = tab.ask(CONTRAST)
        assert contrast["seen"] > 20
        assert contrast["bad"] == [], name
        structure = tab.ask(STRUCTURE)
        assert structure["title"].endswith("Reachwatch (demonstration)")
        assert len(structure["title"]) > 30
        assert structure["language"] == "en"
        assert structure["headings"] == structure["main"] == 1
        assert structure["away"] == 0, name
        assert structure["unnamed"] == structure["small"] == structure["huge"] == 0, name
        assert all(each["named"] and each["twin"] for each in structure["pictures"]), name
        assert bool(structure["pictures"]) is (name not in WITHOUT_PICTURES), name
        assert complaints(tab) == [], name
        asked = [
            each["params"]["request"]["url"] for each in tab.heard("Network.requestWillBeSent")
        ]
        assert len(asked) >= 3
        # Icons of date fields are data: of the browser itself.
        assert all(url.startswith((address + "/", "data:")) for url in asked), asked
        assert not tab.heard("Network.loadingFailed")


def test_the_instruments_see_what_is_wrong(tab: Tab, address: str) -> None:
    tab.look(390)
    tab.go(address + "/")
    tab.ask("document.querySelector('h1').style.color = '#eee'")
    assert tab.ask(CONTRAST)["bad"]
    tab.ask("document.querySelector('h1').style.width = '900px'")
    assert tab.ask(OVERFLOW)["document"] > 0
    tab.ask("console.error('x')")
    tab.ask("document.body.insertAdjacentHTML('beforeend', '<img src=http://192.0.2.1/x>')")
    tab.ask("new Promise((done) => setTimeout(done, 100))")
    assert len(complaints(tab)) >= 2  # ours, and the policy's refusal of a foreign picture


def test_no_element_runs_what_strangers_wrote(tab: Tab, address: str) -> None:
    for person in range(4):
        tab.go(f"{address}/m/{world.measurement(world.PEOPLE[person], 'wechat/web', 20).id}")
        assert not tab.heard("Page.javascriptDialogOpening")
        assert tab.ask("document.querySelectorAll('script').length") == 1


def test_the_keyboard_reaches_everything_visibly(tab: Tab, address: str) -> None:
    tab.look(1280)
    tab.go(address + "/")
    reached = set()
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                     windowsVirtualKeyCode=9)  # fmt: skip
        seen = tab.ask(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            "return [e.tagName + '|' + (e.textContent || e.id).trim().slice(0, 30),"
            "s.outlineStyle, parseFloat(s.outlineWidth), e === document.body] })()"
        )
        if seen[3] or seen[0] in reached:
            break
        reached.add(seen[0])
        assert seen[1] != "none", seen
        assert seen[2] >= 2, seen
    names = " ".join(sorted(reached))
    assert "Skip to content" in names
    assert "WeChat" in names
    assert "BUTTON" in names
    assert "INPUT|q" in names


def test_the_theme_can_be_chosen_and_lasts(tab: Tab, address: str) -> None:
    tab.look(1280)
    tab.go(address + "/")
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.ask(background)
    tab.ask("document.querySelector('button.theme').click()")
    dark = tab.ask(background)
    assert dark != light
    assert tab.ask(CONTRAST)["bad"] == []
    tab.go(address + PAGES["event"])
    assert tab.ask(background) == dark
    assert tab.ask(CONTRAST)["bad"] == []
    tab.ask("document.querySelector('button.theme').click()")
    assert tab.ask(background) == light
    assert complaints(tab) == []


def test_a_printed_page_is_dark_on_white(tab: Tab, address: str) -> None:
    """Also where the dark theme was chosen; what only works on a screen is left out."""
    tab.look(1000)
    tab.go(address + PAGES["event"])
    tab.ask("document.documentElement.dataset.theme = 'dark'")
    ink = "getComputedStyle(document.body).color"
    assert tab.ask(ink) == "rgb(230, 232, 234)"
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.ask(ink) == "rgb(29, 33, 37)"
    shown = "[...document.querySelectorAll('nav, form, button')].filter((e) => e.offsetHeight)"
    assert tab.ask(f"{shown}.map((e) => e.outerHTML.slice(0, 80))") == []
    tab.call("Emulation.setEmulatedMedia", media="")


def test_pages_work_without_javascript(tab: Tab, address: str) -> None:
    tab.look(390)
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.call("DOM.enable")
    for name, path in PAGES.items():
        tab.go(address + path)
        root = tab.call("DOM.getDocument")["root"]["nodeId"]

        def count(selector: str, root: int = root) -> int:
            found = tab.call("DOM.querySelectorAll", nodeId=root, selector=selector)
            return len(found["nodeIds"])

        assert count("h1") == 1, name
        assert count("main section") >= (1 if name in SHORT else 2), name
        # A button that would do nothing is not shown.
        assert count("button[type=button]:not([hidden])") == 0
        assert not tab.heard("Network.loadingFailed")


def test_a_chart_that_nobody_points_at_does_not_say_that_there_are_no_data(
    tab: Tab, address: str
) -> None:
    tab.look(1280)
    tab.go(f"{address}/s/wechat?range=7d")
    legend = "(document.querySelector('.chart .u-legend') || {}).textContent || ''"
    wait_until(lambda: "Russia" in tab.ask(legend))
    assert "no data" not in tab.ask(legend)


def test_a_chart_names_its_series_in_the_language_of_the_page(tab: Tab, address: str) -> None:
    speak(tab, "ru")
    try:
        tab.go(f"{address}/s/wechat?range=7d&lang=ru")
        legend = "(document.querySelector('.chart .u-legend') || {}).textContent || ''"
        wait_until(lambda: "Россия" in tab.ask(legend))
    finally:
        speak(tab, SOURCE)
        tab.go(f"{address}/?lang={SOURCE}")


def test_the_search_box_needs_no_script(tab: Tab, address: str) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.go(f"{address}/search?q=wechat")
    target = tab.call("Page.getNavigationHistory")["entries"][-1]["url"]
    assert target == f"{address}/s/wechat"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_navigation_is_one_line(tab: Tab, address: str, language: str) -> None:
    speak(tab, language)
    tab.look(1280)
    tab.go(address)
    tops = "[...document.querySelectorAll('.top nav a')].map((link) => link.offsetTop)"
    assert tab.ask(f"new Set({tops}).size") == 1
