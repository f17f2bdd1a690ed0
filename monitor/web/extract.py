# SPDX-License-Identifier: Apache-2.0
"""Every text of the pages that is translated: those in templates, those in calls of `_` and `n_`,
and the tables that are looked up at run time. `python -m monitor.web.extract` brings the
message files up to date: new texts are added at the end without a translation, old ones are
dropped, and all others stay where they are."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as CatalogMessage
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import extract_from_ast

from monitor.demo import WORDS
from monitor.text import confidence_text, language, sentences, words
from monitor.web import press_history, render
from monitor.web.api import endpoints
from monitor.web.draw import event_marks, step_table, strips
from monitor.web.pages import changes, lone, method
from monitor.web.template_text import CALL

HERE = Path(__file__).parent
TEXTS = HERE.parent / "text"
Message = str | tuple[str, str]
KEYWORDS: Mapping[str, tuple[int, ...] | None] = {"_": None, "_h": None, "n_": (1, 2)}
OPERATORS = frozenset(("runbook.html", "status.html", "status.py"))
"""Pages for the operator alone stay English."""


def messages() -> list[Message]:
    """All of them, each once, in a stable order. A pair has a singular and a plural."""
    found: dict[Message, None] = {}
    for each in (*_from_templates(), *_from_code(), *_from_tables()):
        found[each] = None
    return list(found)


def _from_templates() -> Iterator[Message]:
    made = render.environment()
    for name in sorted(made.list_templates()):
        if name in OPERATORS:
            continue
        source = (HERE / "templates" / name).read_text()
        tree = made._parse(source, name, name)  # with the texts that `template_text` marks
        for _line, function, texts in extract_from_ast(tree, (*KEYWORDS, CALL)):
            known = [texts] if isinstance(texts, str) else [each for each in texts or () if each]
            if function == "n_":
                yield known[0], known[1]
            elif known:
                yield known[0]


def _from_code() -> Iterator[Message]:
    for path in (*sorted(HERE.rglob("*.py")), *sorted(TEXTS.glob("*.py"))):
        if path.name in OPERATORS:
            continue
        with path.open("rb") as file:
            for _line, texts, _comments, _context in extract("python", file, keywords=KEYWORDS):
                yield (texts[0], texts[1]) if isinstance(texts, tuple) else texts


def _from_tables() -> Iterator[Message]:
    yield WORDS
    tables: tuple[Mapping[Any, str], ...] = (
        *words.TABLES.values(),
        strips._WORD,
        event_marks.WORDS,
        step_table.CONTRASTS,
        step_table.UNNAMED,
        sentences._ICMP,
        lone._UNTOLD,
    )
    for table in tables:
        yield from (text for text in table.values() if text)
    yield from words.rule_texts()
    yield from (said for _state, said in method.WHOLE.values())
    for noun, many in words.NOUNS.items():
        yield f"%(n)s {noun}", f"%(n)s {many}"
    yield from (name for _path, name in render.ALL_PAGES)
    yield from (word for _kind, word in changes.MARKS.values())
    yield from (block.story for block in press_history.REPORTED)
    yield from (inspect.getdoc(endpoint) or "" for _name, endpoint in endpoints.LISTS)
    yield from (
        confidence_text.MEANING,
        confidence_text.MEANING_HELD_DOWN,
        lone.SIGNATURE,
        lone.UNCLEAR,
    )
    yield from (step_table.WORKS, step_table.ANSWERED, step_table.FAILS)
    yield from ("vantage", "control", "online", "silent", "degraded", "revoked")
    yield from ("24 hours", "7 days", "30 days", "90 days", "1 year")
    yield from ("vantages, but no data", method.WHOLE_HEADING)


def bring_up_to_date(known: Catalog, texts: Iterable[Message]) -> None:
    """Make a catalog hold these messages and no others. Those that it has stay in their order."""
    order = dict.fromkeys(texts)
    wanted = Catalog()
    for text in (*(message.id for message in known if message.id in order), *order):
        wanted.add(text)
    known.update(wanted, no_fuzzy_matching=True, update_creation_date=False)
    known.obsolete.clear()


def update(code: str) -> tuple[int, int]:
    """Bring a language's file up to date. Returns how many messages there are, and how many of
    them have no translation."""
    path = language.FILES / f"{code}.po"
    with path.open("rb") as file:
        known = read_po(file, locale=code)
    bring_up_to_date(known, messages())
    with path.open("wb") as file:
        write_po(file, known, width=100, no_location=True)
    missing = [each for each in known if each.id and (each.fuzzy or not _is_translated(each))]
    return len(known), len(missing)


def _is_translated(message: CatalogMessage) -> bool:
    forms = message.string or ""
    return bool(forms) and (isinstance(forms, str) or all(forms))


if __name__ == "__main__":
    for each_code in language.LANGUAGES:
        if each_code != language.SOURCE:
            print(each_code, *update(each_code))
