"""Special ranges, including those on which Python releases differ."""

from __future__ import annotations

import pytest

from monitor.detection.ranges import family, special_range


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


def test_families() -> None:
    assert (family("8.8.8.8"), family("::1")) == (4, 6)
