"""The message files are complete, and nothing is lost in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from monitor.text import language
from monitor.web import extract
from monitor.web.extract import Message, messages

OTHERS = [code for code in language.LANGUAGES if code != language.SOURCE]
_PLACE = re.compile(r"%\((\w+)\)s")
_TAG = re.compile(r"<[^>]*>")


@pytest.fixture(scope="module")
def wanted() -> list[Message]:
    return messages()


def read(code: str) -> Mapping[Message, tuple[str, ...]]:
    """Translations by message; one form where there is no plural."""
    with (language.FILES / f"{code}.po").open("rb") as file:
        found = read_po(file, locale=code)
    return {
        each.id: (each.string,)
        if isinstance(each.string, str)
        else tuple(each.string[: found.num_plurals])
        for each in found
        if each.id
    }


def texts(message: Message) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else message


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_has_a_translation_and_no_other_has(code: str, wanted: list[Message]) -> None:
    found = read(code)
    missing = [each for each in wanted if not all(found.get(each, ("",)))]
    assert not missing, "python -m monitor.web.extract adds them to the file"
    assert not found.keys() - set(wanted), "no text of the pages"
    assert not [each for each, forms in found.items() if any("\n" in form for form in forms)]


@pytest.mark.parametrize("code", OTHERS)
def test_no_placeholder_and_no_tag_is_lost(code: str, wanted: list[Message]) -> None:
    found = read(code)
    for message in wanted:
        names = {name for text in texts(message) for name in _PLACE.findall(text)}
        tags = Counter(_TAG.findall(texts(message)[-1]))
        for form in found[message]:
            # The number may stand in words: "the measurement", not "the 1 measurement".
            optional = {"n"} if not isinstance(message, str) else set()
            assert set(_PLACE.findall(form)) | optional == names | optional, (message, form)
            assert Counter(_TAG.findall(form)) == tags, (message, form)
            # Everything else that `%` would read fails when the text is used.
            if names:
                form % dict.fromkeys(names, "x")


def test_a_file_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: list[Message]
) -> None:
    monkeypatch.setattr(extract, "messages", lambda: wanted[:300])
    whole = (language.FILES / "ru.po").read_bytes()
    monkeypatch.setattr(language, "FILES", tmp_path)
    (tmp_path / "ru.po").write_bytes(whole.partition(b"\n\n")[0])
    assert extract.update("ru") == (300, 300)
    (tmp_path / "ru.po").write_bytes(whole)
    assert extract.update("ru") == (300, 0)
    first = (tmp_path / "ru.po").read_bytes()
    assert extract.update("ru") == (300, 0)
    assert (tmp_path / "ru.po").read_bytes() == first


def test_a_file_keeps_its_order_and_gets_new_texts_at_its_end() -> None:
    pair = ("%(n)s network", "%(n)s networks")
    catalog = Catalog()
    for message, translation in (("Then", "Alors"), ("Gone", "Parti"), (pair, ("un", "des"))):
        catalog.add(message, translation)
    extract.bring_up_to_date(catalog, ["New", pair, "Then"])
    assert [(message.id, message.string) for message in catalog if message.id] == [
        ("Then", "Alors"),
        (pair, ("un", "des")),
        ("New", None),
    ]
    assert not catalog.obsolete
