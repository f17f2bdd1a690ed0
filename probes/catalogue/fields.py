# SPDX-License-Identifier: Apache-2.0
"""A TOML table read strictly, with the place of everything that is wrong with it.

A `Table` knows where it stands (`services/wechat.toml`, `target[0].endpoint[1]`) and what was
asked of it; the keys nobody asked for are unknown. Nothing here knows what a service is.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.catalogue.names import shown
from probes.catalogue.names import text as printable


class CatalogueError(Exception):
    """A catalogue that cannot be used. The text is one line: `file: key: reason`."""


@dataclass(frozen=True)
class Findings:
    """What reading found, each a line `file: key: reason`."""

    faults: list[str] = field(default_factory=list)
    """The catalogue cannot be used."""
    unknown: list[str] = field(default_factory=list)
    """Keys and words nobody knows: a probe goes on with a warning, because the catalogue may be
    newer than the probe; an editor must mend them."""
    gaps: list[str] = field(default_factory=list)
    """What an editor must add: a source, a date."""
    advice: list[str] = field(default_factory=list)
    """What makes verdicts weaker than they could be."""

    def raise_first(self) -> None:
        """Raise CatalogueError with the first fault, if there is one."""
        if self.faults:
            raise CatalogueError(self.faults[0])


_KINDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "a table",
    dt.date: "a date (YYYY-MM-DD)",
    dt.datetime: "a date with a time",
    dt.time: "a time",
}


class Table:
    """One TOML table and its place."""

    def __init__(
        self, values: Mapping[str, Any], file: str, place: str, findings: Findings
    ) -> None:
        self.file = file
        self.findings = findings
        self._values = values
        self._place = place
        self._asked: set[str] = set()

    def where(self, key: str = "") -> str:
        """Return `file: place.key`."""
        plain = key if re.fullmatch(r"[A-Za-z0-9_.\[\]-]*", key) else shown(key)
        inside = ".".join(part for part in (self._place, plain) if part)
        return f"{self.file}: {inside}" if inside else self.file

    def fault(self, key: str, reason: str) -> None:
        """Note that the catalogue cannot be used."""
        self.findings.faults.append(f"{self.where(key)}: {reason}")

    def unknown(self, key: str, reason: str) -> None:
        """Note something that a newer version may know."""
        self.findings.unknown.append(f"{self.where(key)}: {reason}")

    def gap(self, key: str, reason: str) -> None:
        """Note something that an editor must mend and a probe does not miss."""
        self.findings.gaps.append(f"{self.where(key)}: {reason}")

    def advise(self, key: str, reason: str) -> None:
        """Note something that could be better."""
        self.findings.advice.append(f"{self.where(key)}: {reason}")

    def has(self, key: str) -> bool:
        """Return whether the key is written."""
        return key in self._values

    def text(
        self,
        key: str,
        default: str | None = None,
        valid: Callable[[str], str] = printable,
    ) -> str:
        """Return a string that `valid` accepts; `default` None means that the key is needed."""
        value = self._typed(key, str, default)
        if not isinstance(value, str) or not self.has(key):
            return default or ""
        try:
            return valid(value)
        except ValueError as error:
            self.fault(key, str(error))
            return default or ""

    def texts(self, key: str, valid: Callable[[str], str]) -> tuple[str, ...]:
        """Return a list of strings, empty when the key is not written."""
        found: list[str] = []
        for index, value in enumerate(self._typed(key, list, []) or []):
            if not isinstance(value, str):
                self.fault(f"{key}[{index}]", _expected(str, value))
                continue
            try:
                found.append(valid(value))
            except ValueError as error:
                self.fault(f"{key}[{index}]", str(error))
        return tuple(found)

    def word(self, key: str, pattern: str, meaning: str) -> str:
        """Return a string that matches the pattern; `meaning` tells people what is expected."""

        def valid(value: str) -> str:
            if not re.fullmatch(pattern, value):
                raise ValueError(f"expected {meaning}, got {shown(value)}")
            return value

        return self.text(key, None, valid)

    def choice(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        """Return one of the allowed words."""
        words = tuple(allowed)

        def valid(value: str) -> str:
            if value not in words:
                raise ValueError(f"expected {' or '.join(words)}, got {shown(value)}")
            return value

        return self.text(key, default, valid)

    def port(self, default: int | None = None, lowest: int = 1) -> int:
        """Return the key `port`."""
        value = self._typed("port", int, default)
        if value is None:
            return 0
        if not lowest <= value <= 65535:
            self.fault("port", f"expected {lowest}..65535, got {shown(value)}")
        return int(value)

    def date(self, key: str) -> dt.date | None:
        """Return a date, None when the key is not written."""
        value = self._typed(key, dt.date, dt.date.min)
        return value if value is not None and self.has(key) else None

    def tables(self, key: str, at_least: int = 0) -> list[Table]:
        """Return the array of tables under the key."""
        values = self._typed(key, list, None if at_least else [])
        if values is None:
            return []
        if len(values) < at_least:
            self.fault(key, f"expected at least {at_least}, got {len(values)}")
        found = []
        for index, value in enumerate(values):
            if isinstance(value, dict):
                found.append(self._inner(f"{key}[{index}]", value))
            else:
                self.fault(f"{key}[{index}]", _expected(dict, value))
        return found

    def table(self, key: str) -> Table | None:
        """Return the table under the key, None when the key is not written."""
        value = self._typed(key, dict, {})
        return self._inner(key, value) if self.has(key) and value is not None else None

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                self.unknown(key, "unknown key")

    def _inner(self, step: str, values: Mapping[str, Any]) -> Table:
        place = f"{self._place}.{step}" if self._place else step
        return Table(values, self.file, place, self.findings)

    def _typed(self, key: str, kind: type, default: Any) -> Any:
        """The value if it has exactly this type; None, with a fault, if it has not."""
        self._asked.add(key)
        if key not in self._values:
            if default is None:
                self.fault(key, "is missing")
            return default
        value = self._values[key]
        if type(value) is not kind:
            self.fault(key, _expected(kind, value))
            return None
        return value


def _expected(kind: type, value: object) -> str:
    seen = shown(value) if isinstance(value, str | int | float) else _KINDS.get(type(value), "?")
    return f"expected {_KINDS[kind]}, got {seen}"
