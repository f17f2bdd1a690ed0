# SPDX-License-Identifier: Apache-2.0
"""The language of a page: English texts are the keys of message files (`monitor/text/locale`).

The files are read when a language is first wanted, so that a clean clone needs no step before.
What has no translation appears in English; a test finds it. The language of a request stands in a
context variable: outside pages (feeds, webhooks, API, commands) it is English.
"""

from __future__ import annotations

import datetime as dt
import functools
import gettext
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path

import msgspec
from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.messages.pofile import read_po
from markupsafe import Markup

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "fr": "Français",
    "ru": "Русский",
    "zh": "中文",
}
"""Names of the languages, in themselves."""
SOURCE = "en"
FILES = Path(__file__).parent / "locale"


class Messages(msgspec.Struct, frozen=True):
    """The messages of a language."""

    language: str
    messages: Mapping[str, str] = {}
    plurals: Mapping[str, tuple[str, ...]] = {}
    """Forms by the English singular."""
    form: Callable[[int], int] = lambda n: int(n != 1)
    """Which form a number takes."""

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(Locale(self.language).text_direction)


ENGLISH = Messages(SOURCE)
_current: ContextVar[Messages] = ContextVar("messages", default=ENGLISH)


@functools.cache
def catalogue(language: str) -> Messages:
    """The messages of one of LANGUAGES."""
    if language == SOURCE:
        return ENGLISH
    with (FILES / f"{language}.po").open("rb") as file:
        read = read_po(file, locale=language)
    messages, plurals = {}, {}
    for each in read:
        if not each.id or not each.string or each.fuzzy:
            continue
        if isinstance(each.id, str):
            messages[each.id] = str(each.string)
        elif all(forms := each.string[: read.num_plurals]):
            plurals[each.id[0]] = tuple(forms)
    return Messages(language, messages, plurals, gettext.c2py(read.plural_expr))


def use(language: str) -> None:
    """Make a language that of this context."""
    _current.set(catalogue(language))


def current() -> Messages:
    """The messages of this context's language."""
    return _current.get()


def is_english() -> bool:
    """Whether this context's language is English."""
    return _current.get() is ENGLISH


def _(text: str, /, **values: object) -> str:
    """The text in the language of this context; `%(name)s` are replaced where there are values."""
    said = _current.get().messages.get(text, text)
    return said % values if values else said


def n_(one: str, many: str, n: int, /, **values: object) -> str:
    """The same, in the form that a number takes. `%(n)s` is the number, grouped."""
    found = _current.get()
    forms = found.plurals.get(one)
    said = (one if n == 1 else many) if forms is None else forms[found.form(n)]
    values.setdefault("n", grouped(n))
    return said % values


def grouped(n: int) -> str:
    """A number with thin spaces between its thousands."""
    return f"{n:,}".replace(",", "\u202f")


@functools.lru_cache(maxsize=4096)
def _markup(language: str, text: str) -> Markup:
    return Markup(catalogue(language).messages.get(text, text))


def text_of_template(text: str) -> Markup:
    """A text of a template, which may have tags, in the language of this context."""
    return _markup(_current.get().language, text)


def markup(text: str, /, **values: object) -> Markup:
    """A text with tags; the values are escaped unless they are markup."""
    return text_of_template(text) % values


@functools.lru_cache(maxsize=4096)
def date_text(day: dt.date, language: str) -> str:
    """`4 May 2026`. The Russian abbreviation of "year" is left out: its full stop would stand
    before that of the sentence."""
    if language == SOURCE:
        return f"{day.day} {day:%B %Y}"
    return re.sub(r"\sг\.$", "", format_date(day, "long", locale=language))


@functools.lru_cache(maxsize=4096)
def short_date(day: dt.date, skeleton: str, language: str) -> str:
    """`4 May` (`MMMd`), `May` (`MMM`) or `May 2026` (`yMMM`), for an axis."""
    if language == SOURCE:
        return {"MMMd": f"{day.day} {day:%b}", "MMM": f"{day:%b}", "yMMM": f"{day:%b %Y}"}[skeleton]
    return format_skeleton(skeleton, day, locale=language)


@functools.cache
def country_names(language: str) -> Mapping[str, str]:
    """Names of countries by code (Unicode CLDR)."""
    return dict(Locale(language).territories)


def chosen_language(query: str, cookie: str, accepted: str) -> str:
    """The language that a visitor wants: by the address, by an earlier choice, by the browser's
    header (RFC 9110 section 12.5.4), else English."""
    for choice in (query, cookie):
        if choice in LANGUAGES:
            return choice
    best, weight = SOURCE, 0.0
    for part in accepted[:500].split(","):
        name, _sep, parameters = part.partition(";")
        language = name.strip().lower().partition("-")[0]
        if language not in LANGUAGES:
            continue
        key, _sep, value = parameters.strip().partition("=")
        try:
            quality = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            continue
        if weight < quality <= 1:
            best, weight = language, quality
    return best
