import re
import string

import pytest

from probes.words import (
    _FUNCTIONS,
    _PLURAL,
    _TEXTS,
    LANGUAGES,
    function_name,
    is_plural,
    language_of,
    say,
)

EXACT = re.compile(r"`[^`]+`|--[a-z-]+(?: [A-Z]+)?", re.ASCII)
"""Commands and options."""


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_each_text_is_there_in_every_language_with_the_same_values() -> None:
    for key, texts in [*_TEXTS.items(), *_FUNCTIONS.items()]:
        assert tuple(texts) == LANGUAGES, key
        assert all(texts.values()), key
        assert len({frozenset(fields(text)) for text in texts.values()}) == 1, key
        exact = {tuple(sorted(EXACT.findall(text))) for text in texts.values()}
        assert len(exact) == 1, key


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("de,fr;q=0.5", "fr"),
        ("zh_CN.UTF-8", "zh"),
        ("C.UTF-8", "en"),
        ("", "en"),
        ("de", "en"),
    ],
)
def test_the_language(wanted: str, language: str) -> None:
    assert language_of(wanted) == language


def test_plural_names() -> None:
    assert all(function in _FUNCTIONS for names in _PLURAL.values() for function in names)
    assert is_plural("en", "whatsapp/calls")
    assert not is_plural("en", "whatsapp/messaging")
    assert is_plural("ru", "whatsapp/messaging")
    assert not is_plural("zh", "whatsapp/calls")


def test_an_unknown_function_keeps_its_id() -> None:
    assert function_name("fr", "wechat/messaging") == "messages"
    assert function_name("fr", "wechat/bot-api") == "bot-api"
    assert say("xx", "state") == "State"
