# SPDX-License-Identifier: Apache-2.0
"""What the probe tells its volunteer, in each of their languages: the texts of `words.toml`.

Other texts (help, log, errors except those of the consent) are for whoever runs the program, and
in English alone. The consent text has a file for each language, in `probes/cli`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes.wire.measurement import function_of

LANGUAGES = ("en", "fr", "ru", "zh")
"""The first is used where no other fits."""
_TEXTS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_FUNCTIONS: dict[str, dict[str, str]] = _TEXTS.pop("functions")
_PLURAL: dict[str, list[str]] = _TEXTS.pop("plural")


def say(language: str, key: str, **values: object) -> str:
    """Return a text in a language, English for an unknown one."""
    return _in(language, _TEXTS[key]).format(**values)


def _in(language: str, texts: dict[str, str]) -> str:
    return texts.get(language, texts[LANGUAGES[0]])


def function_name(language: str, target: str) -> str:
    """Return the name of a target's function, its id where there is no name."""
    function = function_of(target)
    return _in(language, _FUNCTIONS[function]) if function in _FUNCTIONS else function


def is_plural(language: str, target: str) -> bool:
    """Whether the name of a target's function is a plural: calls work, messaging works."""
    return function_of(target) in _PLURAL.get(language, ())


def language_of_terminal(environment: Mapping[str, str]) -> str:
    """Return the language that the locale of a terminal asks for, as gettext looks for it."""
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return language_of(next(filter(None, names), ""))


def language_of(wanted: str) -> str:
    """Return the language for an Accept-Language header or a locale (`ru_RU.UTF-8`): the first one
    named that there is, else English. Weights are in order in practice and are not read."""
    for part in wanted.replace("_", "-").split(","):
        word = part.partition(";")[0].partition(".")[0].partition("-")[0].strip().lower()
        if word in LANGUAGES:
            return word
    return LANGUAGES[0]
