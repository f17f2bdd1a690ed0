"""Every text of a template is a message."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest

from monitor.text import language
from monitor.web import render
from monitor.web.template_text import TextSplitter
from tests.monitor.web.test_languages import PAGES
from tests.world.site import Client

_TAG = re.compile(r"<[^>]*>")


class Marked(dict[str, str]):
    """A language in which every text is marked."""

    def get(self, key: str, default: object = None) -> str:  # type: ignore[override]
        return f"⟦{key}⟧"


class MarkedForms(dict[str, tuple[str, ...]]):
    def get(self, key: str, default: object = None) -> tuple[str, ...]:  # type: ignore[override]
        return f"⟦{key}⟧", f"⟦{key}⟧"


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made = language.Messages("fr", Marked(), MarkedForms())
    kept = language._markup, render._translated
    for each in kept:
        each.cache_clear()
    monkeypatch.setattr(language, "catalogue", lambda _code: made)
    yield
    for each in kept:
        each.cache_clear()


ENGLISH = re.compile(
    r"\b(the|of|is|are|and|not|was|were|for|with|from|to|in|no|by|its|it|that|which|what|who)\b",
    re.I,
)
"""Words that every English sentence has."""
_MACHINE = re.compile(
    r"<(code|pre|title|bdi|script)\b[^>]*>.*?</\1>|<(\w+)[^>]* lang=\"en\".*?</\2>"
    r"|<!--.*?-->",
    re.S,
)


def unmarked(page: str) -> str:
    """What a page says outside of marked texts."""
    text = html.unescape(_TAG.sub("\n", _MACHINE.sub("", page)))
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
        text = shorter
    return text


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_has_a_sentence_that_cannot_be_translated(
    marked: None, web: Client, path: str
) -> None:
    page = await (await web.get(path)).text()
    assert "⟦" in page
    left = [line.strip() for line in unmarked(page).splitlines() if ENGLISH.search(line)]
    assert not left


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (['<p title="Ab cd">Some text</p>'], ["Ab cd", "Some text"]),
        (["<p>One <b>two</b> three</p>"], ["One <b>two</b> three"]),
        (["<p><b>All of it</b></p>"], ["All of it"]),
        (["<code>not this</code> but this"], ["<code>not this</code> but this"]),
        (["<p><code>not this</code></p>"], []),
        (["<a href='/", "'>a link</a>, and more"], ["a link", ", and more"]),
        (["<pre>as is</pre>", "JSON", "12 – 13"], []),
        (['<td data-label="Of what" class="of what">', "</td>"], ["Of what"]),
    ],
)
def test_texts_of_templates_are_found(source: list[str], found: list[str]) -> None:
    splitter = TextSplitter()
    parts = [part for data in source for part in splitter.parts(data)]
    assert "".join(text for _is, text in parts) == "".join(source)
    assert [text for is_message, text in parts if is_message] == found
