"""Special ranges, including those on which Python releases differ."""

from __future__ import annotations

import pytest

from monitor.detection.observed.ranges import family, special_place, special_range


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("10.10.34.36", "private"),
        ("127.0.0.53", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("203.0.113.9", "documentation"),
        ("2001:db8::1", "documentation"),
        ("100.64.1.1", "carrier"),
        ("2001::1", "teredo"),
        ("::", "unspecified"),
        ("fe80::1%eth0", "link"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("64:ff9b::808:808", None),
        ("64:ff9b::a00:1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("nonsense", "malformed"),
        ("", "malformed"),
    ],
)
def test_kinds(address: str, kind: str | None) -> None:
    assert special_range(address) == kind


def test_neighbourhoods() -> None:
    """Private space is wide: a truth in one corner does not vouch for another."""
    assert special_place("10.2.0.9") == special_place("10.2.255.1") != special_place("10.10.34.36")
    assert special_place("127.7.0.1") != special_place("127.0.0.1")
    assert special_place("203.0.113.1") == special_place("192.0.2.1") == "documentation"
    assert special_place("fd01::1") != special_place("fd02::1")
    assert special_place("8.8.8.8") is None
    assert special_place("nonsense") == "malformed"
    assert special_place("fe80::1%eth0") == special_place("fe80::2")
    assert special_place("64:ff9b::a00:1") is not None


def test_families() -> None:
    assert (family("8.8.8.8"), family("::1")) == (4, 6)
