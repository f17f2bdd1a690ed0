"""Inputs that are nearly right: kept ones with something changed, in their bytes or, where they are
JSON, in their values.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

LONGEST = 1 << 16
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**30, 0.5, 1e308),
    *("", "\0", "\ud800", "é" * 300, "x" * 5000, "²", "9" * 5000, "198.51.100.7", "::1", "<b>"),
    *([], {}, [[]] * 20, {"": {}}, [None], "AAAA", "====", "ok", "generic_timeout_error"),
)


def mutated(rng: random.Random, kept: Sequence[bytes]) -> bytes:
    """One more input, made of one or two kept ones."""
    given = rng.choice(kept)
    if rng.random() < 0.7 and given[:1] in (b"{", b"["):
        lines = given.split(b"\n")
        place = rng.randrange(len(lines))
        if (changed := _in_json(rng, lines[place])) is not None:
            return b"\n".join((*lines[:place], changed, *lines[place + 1 :]))[:LONGEST]
    raw = bytearray(given)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        _in_bytes(rng, raw, kept)
    return bytes(raw[:LONGEST])


def _in_bytes(rng: random.Random, raw: bytearray, kept: Sequence[bytes]) -> None:
    place = rng.randrange(len(raw) + 1)
    length = rng.choice((1, 1, 2, 4, 16, 64))
    match rng.randrange(7):
        case 0 if raw:
            raw[place % len(raw)] ^= 1 << rng.randrange(8)
        case 1:
            raw[place : place + length] = rng.randbytes(length)
        case 2:
            del raw[place : place + length]
        case 3:
            raw[place:place] = raw[place : place + length] * rng.choice((1, 2, 50))
        case 4:
            size = rng.choice((1, 2, 4))
            number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
            raw[place : place + size] = number.to_bytes(size, rng.choice(("big", "little")))
        case 5:
            other = rng.choice(kept)
            start = rng.randrange(len(other) + 1)
            raw[place:] = other[start:]
        case _:
            del raw[place:]


def _in_json(rng: random.Random, line: bytes) -> bytes | None:
    """A line of JSON with some values changed; None when it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = _changed(rng, value)
    try:
        return json.dumps(value, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return None


def _changed(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        changed = [_changed(rng, value[place])]
        match rng.randrange(8):
            case 0:
                changed = []
            case 1:
                changed = [value[place]] * rng.choice((2, 20))
            case 2:
                changed = [rng.choice(value), value[place]]
        return [*value[:place], *changed, *value[place + 1 :]]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-1, 1, 1000, -1000))
    return rng.choice(_VALUES)
