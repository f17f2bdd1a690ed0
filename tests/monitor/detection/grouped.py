"""Facts by the names of their fields alone, in whichever group these are."""

from __future__ import annotations

from typing import Any, TypeVar, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


def grouped(of: type[T], **given: Any) -> T:
    """The facts with these fields, and with defaults elsewhere."""
    left = set(given)
    facts = _filled(of, given, left)
    assert not left, f"{of.__name__} has no {left}"
    return facts


def _filled(of: type[T], given: dict[str, Any], left: set[str]) -> T:
    values: dict[str, Any] = {}
    for name, kind in get_type_hints(of).items():
        if name in given:
            values[name] = given[name]
            left.discard(name)
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            values[name] = _filled(kind, given, left)
    return of(**values)
