"""axe-core finds nothing on any page: both themes, on a desk and on a phone, in every language.

axe-core is a file in a package of the development environment (`requirements/axe.txt`, with its
hash); nothing else of that package is used.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.text.language import LANGUAGES, SOURCE
from tests.monitor.web.browsing import OTHERS, PAGES, served, speak
from tests.world.browser import Tab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.rest,
    pytest.mark.slow,
    pytest.mark.needs("chromium", "chromium-driver", "fonts-dejavu-core"),
]

RUN = """
axe.run(document, {resultTypes: ["violations"], ...%s}).then((found) => ({
  rules: found.passes.length,
  wrong: found.violations.flatMap((rule) => rule.nodes.map((node) =>
    [rule.id, rule.help, node.target.join(" "), node.html.slice(0, 160),
     node.any.concat(node.all, node.none).map((check) => check.message).join("; ").slice(0, 200)]
  )),
}))
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None, "run scripts/environment development"
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def empty_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application over a store in which nothing was ever written."""
    with served(None, tmp_path_factory.mktemp("empty")) as made:
        yield made


def wrong(tab: Tab, axe: str, **options: object) -> list[list[str]]:
    """What axe-core finds on the page that a tab shows: rule, its text, element, source, reason."""
    if not tab.ask("'axe' in window"):
        tab.ask(axe + "; true")
    found = tab.ask(RUN % json.dumps(options))
    assert found["rules"] >= (1 if options else 10)
    return list(found["wrong"])


@pytest.mark.parametrize(
    ("width", "dark", "language"),
    # A language changes neither colours nor what is there: its texts are read on a phone.
    [(width, dark, SOURCE) for width in (1280, 390) for dark in (False, True)]
    + [(390, False, language) for language in LANGUAGES if language != SOURCE],
)
def test_axe_finds_nothing(
    tab: Tab, address: str, empty_address: str, axe: str, width: int, dark: bool, language: str
) -> None:
    tab.look(width, dark=dark)
    speak(tab, language)
    visits = {name: address + path for name, path in (PAGES | OTHERS).items()}
    # With neither probe nor measurement these say what to do first.
    visits |= {f"empty {name}": empty_address + PAGES[name] for name in ("overview", "services",
               "countries", "vantages", "status", "changes", "live", "explore")}  # fmt: skip
    found = {}
    for name, url in visits.items():
        tab.go(url)
        # The page for operators is in one language, as the runbooks are.
        expected = SOURCE if url.endswith(PAGES["status"]) else language
        assert tab.ask("document.documentElement.lang") == expected
        # What is folded away is read as well.
        tab.ask("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        # Only colours depend on the theme.
        options = {"runOnly": ["color-contrast"]} if dark else {}
        if bad := wrong(tab, axe, **options):
            found[name] = bad
    lines = [f"{name}: {each}" for name, some in found.items() for each in some]
    assert not lines, "\n".join(lines)


def test_axe_sees_what_is_wrong(tab: Tab, address: str, axe: str) -> None:
    tab.look(1280)
    tab.go(address)
    tab.ask("document.querySelector('h1').style.color = '#eee'")
    tab.ask("document.documentElement.removeAttribute('lang')")
    tab.ask("document.body.insertAdjacentHTML('beforeend', '<img src=\"/static/icon.svg\">')")
    rules = {each[0] for each in wrong(tab, axe)}
    assert {"color-contrast", "html-has-lang", "image-alt"} <= rules
