"""Addresses of this machine and its link, however they are written."""

from __future__ import annotations

import pytest

from monitor.detector.guarded_resolver import GuardedResolver, is_local


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.8.9.10", "0.0.0.0", "::1", "[::1]", "::", "::ffff:127.0.0.1"),
        *("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"),
        *("2002:a9fe:a9fe::", "fd00:ec2::254", "224.0.0.1", "ff02::1"),
        *("localhost", "LOCALHOST.", "monitor.localhost"),
    ],
)
def test_local(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    ["192.0.2.1", "10.0.0.5", "192.168.1.20", "fd00::1", "2001:db8::1", "localhost.example", "a.b"],
)
def test_elsewhere(host: str) -> None:
    """A receiver in the operator's own network is usual."""
    assert not is_local(host)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1"])
async def test_a_name_that_resolves_to_this_machine_resolves_to_nothing(host: str) -> None:
    resolver = GuardedResolver()
    with pytest.raises(OSError, match="leads to this machine or its link"):
        await resolver.resolve(host, 80)
    await resolver.close()


async def test_other_addresses_are_left() -> None:
    resolver = GuardedResolver()
    assert [each["host"] for each in await resolver.resolve("192.0.2.1", 80)] == ["192.0.2.1"]
    await resolver.close()
