# SPDX-License-Identifier: Apache-2.0
"""A TOML table that knows its place, and notes whatever is wrong with it.

msgspec checks the types. What is wrong goes to the findings, so that one pass serves both the
probe, which stops at the first fault, and the linter, which lists them all.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from probes.catalogue.syntax import quoted, text

_TOML_TIMES = (dt.date, dt.datetime, dt.time)
"""Types that TOML has of its own: msgspec would also take them from strings."""
_TYPE_NAMES = {
    "str": "a string",
    "int": "a whole number",
    "bool": "true or false",
    "float": "a number",
    "array": "a list",
    "object": "a table",
    "date": "a date (YYYY-MM-DD)",
    "datetime": "a date with a time",
    "time": "a time",
}
"""msgspec's names of types in the words of TOML."""

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
Check = Callable[[Any], Any]
"""Returns a value in its canonical form or raises ValueError with the reason."""
NO_CHECKS: Mapping[str, Check] = {}
NO_DEFAULTS: Mapping[str, Any] = {}
_fields = functools.cache(msgspec.structs.fields)
"""The fields of a struct. msgspec compiles their annotations at each call, which took two thirds of
the time to read a catalogue."""


class CatalogueError(Exception):
    """A catalogue that cannot be used. The text is one line: `file: key: reason`."""


@dataclass(frozen=True)
class Findings:
    """Everything that is wrong with a catalogue, each a line `file: key: reason`."""

    faults: list[str] = field(default_factory=list)
    """The catalogue cannot be used."""
    unknown: list[str] = field(default_factory=list)
    """Unknown keys and words. A probe only warns, because the catalogue may be newer than the
    probe; the linter refuses them."""
    gaps: list[str] = field(default_factory=list)
    """What the linter requires and a probe does not need: a source, a date."""
    advice: list[str] = field(default_factory=list)
    """What makes verdicts weaker than they could be."""


class Table:
    """One TOML table and its place in the catalogue."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self._values = values
        self._path = path
        self._known: set[str] = set()

    def where(self, key: str = "") -> str:
        """Return `file: path.key`."""
        plain = key if re.fullmatch(r"[A-Za-z0-9_.\[\]-]*", key) else quoted(key)
        inside = ".".join(part for part in (self._path, plain) if part)
        return f"{self.file}: {inside}" if inside else self.file

    def note(self, lines: list[str], key: str, reason: str) -> None:
        """Add a line to one of the lists of the findings."""
        lines.append(f"{self.where(key)}: {reason}")

    def fault(self, key: str, reason: str) -> None:
        """Note that the catalogue cannot be used."""
        self.note(self.findings.faults, key, reason)

    def get(self, key: str) -> Any:
        """Return what is written, of any type; None without the key."""
        return self._values.get(key)

    def has(self, *keys: str) -> bool:
        """Return whether one of the keys is written."""
        return any(key in self._values for key in keys)

    def value(self, key: str, kind: Any, default: Any, check: Check | None = None) -> Any:
        """Return the key's value, of this type and checked; the default when it is not written,
        msgspec.NODEFAULT for a key that is required. None, with a fault, when it is wrong."""
        self._known.add(key)
        if key not in self._values:
            if default is not msgspec.NODEFAULT:
                return default
            self.fault(key, "is missing")
            return None
        written = self._values[key]
        try:
            value = msgspec.convert(written, kind, builtin_types=_TOML_TIMES)
            return value if check is None else check(value)
        except msgspec.ValidationError as error:
            inside, reason = _mismatch(error, written)
            self.fault(f"{key}{inside}", reason)
        except ValueError as error:
            self.fault(key, str(error))
        return None

    def struct(
        self,
        kind: type[_Struct],
        checks: Mapping[str, Check] = NO_CHECKS,
        defaults: Mapping[str, Any] = NO_DEFAULTS,
        **given: Any,
    ) -> _Struct:
        """Return a struct whose fields are keys of this table, apart from those `given`. A text
        without a check of its own must be printable."""
        fields = dict(given)
        for each in _fields(kind):
            if each.name not in given:
                check = checks.get(each.name, text if each.type is str else None)
                default = defaults.get(each.name, each.default)
                value = self.value(each.name, each.type, default, check)
                if value is None and each.required:
                    value = each.type()  # after a fault the reading goes on
                fields[each.name] = each.default if value is None else value
        return kind(**fields)

    def tables(self, key: str, *, required: bool = False) -> list[Table]:
        """Return the array of tables under the key."""
        values = self.value(key, list[Any], msgspec.NODEFAULT if required else [])
        if values == [] and required:
            self.fault(key, "expected at least 1, got 0")
        inner = (self._inner(f"{key}[{index}]", each) for index, each in enumerate(values or ()))
        return [table for table in inner if table is not None]

    def table(self, key: str) -> Table | None:
        """Return the table under the key, None when the key is not written."""
        values = self.value(key, Any, None)
        return self._inner(key, values) if key in self._values else None

    def close(self) -> None:
        """Note every key that nothing asked for."""
        for key in self._values:
            if key not in self._known:
                self.note(self.findings.unknown, key, "unknown key")

    def _inner(self, step: str, values: Any) -> Table | None:
        if not isinstance(values, dict):
            self.fault(step, f"expected a table, got {_written(values)}")
            return None
        path = f"{self._path}.{step}" if self._path else step
        return Table(values, self.file, path, self.findings)


def _mismatch(error: msgspec.ValidationError, written: Any) -> tuple[str, str]:
    """Where inside a value a type is wrong (`[1]`, or empty), and how, in the words of TOML."""
    reason, _, inside = str(error).partition(" - at `$")
    inside = inside.rstrip("`")
    if index := re.fullmatch(r"\[(\d+)\]", inside):
        written = written[int(index[1])]
    expected = re.search(r"`(\w+)", reason)
    word = _TYPE_NAMES.get(expected[1] if expected else "")
    return inside, f"expected {word}, got {_written(written)}" if word else reason


def _written(value: object) -> str:
    """A value of the wrong type, or its type where the value would be long."""
    if isinstance(value, str | int | float):
        return quoted(value)
    name = {"list": "array", "dict": "object"}.get(type(value).__name__, type(value).__name__)
    return _TYPE_NAMES.get(name, name)
