"""Bounds hold at their edges."""

from __future__ import annotations

import msgspec
import pytest

from probes.wire.bounds import ASN, Address, Country, Hash, ProbeId, TargetId, Text, Token


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ProbeId, "p-0123456789abcdef", "p-0123456789abcdeg"),
        (TargetId, "wechat/messaging", "wechat"),
        (Country, "RU", "ru"),
        (ASN, 4_294_967_295, 4_294_967_296),
        (Token, "3.11.7+x", "a b"),
        (Text, "Проверка <b>", "a\x00b"),
        (Text, "x" * 1024, "x" * 1025),
        (Text, "fine", "\x1b[31mred"),
        (Address, "2001:db8::1%eth0", "192.0.2.1\n"),
        (Hash, "a" * 64, "a" * 63),
    ],
)
def test_edges(kind: type, good: object, bad: object) -> None:
    assert msgspec.convert(good, kind) == good
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, kind)
