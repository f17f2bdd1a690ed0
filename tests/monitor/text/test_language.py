"""The language that a visitor gets, and the forms of what is counted."""

from __future__ import annotations

import itertools
import re

import pytest

from monitor.text import language, words


def test_what_is_counted_has_its_form_in_every_language() -> None:
    said = {}
    for code in language.LANGUAGES:
        language.use(code)
        said[code] = [words.plural(n, "vantage") for n in (1, 2, 5, 21)]
    language.use(language.SOURCE)
    assert said["en"] == ["1 vantage", "2 vantages", "5 vantages", "21 vantages"]
    assert [len({each.split(" ", 1)[1] for each in said[code]}) for code in said] == [2, 2, 3, 1]


@pytest.mark.parametrize(
    ("query", "cookie", "accepted", "chosen"),
    [
        ("", "", "", "en"), ("", "", "*", "en"), ("", "", "de, it;q=0.9", "en"),
        ("", "", "de, fr;q=0.3, ru;q=0.7", "ru"), ("", "", "fr-CA", "fr"),
        ("", "", "zh-Hant", "zh"),
        ("", "", "ru;q=0, fr;q=0.1", "fr"), ("", "", "fr;q=x, ru;q=9, zh;q=nan", "en"),
        ("", "zh", "fr", "zh"), ("ru", "zh", "fr", "ru"), ("xx", "yy", "fr", "fr"),
        ("../en", "", "", "en"), ("", "", "fr," * 10_000, "fr"),
    ],
)  # fmt: skip
def test_the_language_that_is_chosen(query: str, cookie: str, accepted: str, chosen: str) -> None:
    assert language.chosen_language(query, cookie, accepted) == chosen


def test_french_marks_never_begin_a_line() -> None:
    french = language.catalogue("fr")
    texts = [*french.messages.values(), *itertools.chain.from_iterable(french.plurals.values())]
    assert texts
    assert [text for text in texts if re.search(" [:;?!»]|« ", text)] == []
