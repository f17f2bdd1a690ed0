"""No destination of a private network, a tunnel or a group is dialled."""

from __future__ import annotations

import pytest

from probes.net.guard import Guard, refusal

GLOBAL = ("8.8.8.8", "149.154.167.51", "2606:4700:4700::1111", "2a00:1450:4001:80e::200e")
ALWAYS_REFUSED = (
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "ff02::1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "example.org",
    "",
    "1.2.3",
)
REFUSED = (
    "127.0.0.1",
    "127.255.255.254",
    "10.10.34.34",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "0.1.2.3",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.10",
    "192.88.99.1",
    "240.0.0.1",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fc00::1",
    "fd01::2",
    "fec0::1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "::808:808",
    "4000::1",
)


@pytest.mark.parametrize("address", GLOBAL)
def test_global_addresses_pass(address: str):
    assert refusal(address, 443, False) is None


@pytest.mark.parametrize("address", ALWAYS_REFUSED)
def test_never_one_host_is_refused_even_in_a_laboratory(address: str):
    assert refusal(address, 443, False) is not None
    assert refusal(address, 443, True) is not None
    assert refusal(address, 53, False, frozenset((address,))) is not None


@pytest.mark.parametrize("address", REFUSED)
def test_private_and_tunnelled_addresses_need_the_laboratory_switch(address: str):
    assert refusal(address, 443, False) is not None
    assert refusal(address, 443, True) is None


def test_own_nameserver_is_allowed_on_port_53_only():
    own = Guard(nameservers=frozenset(("192.168.1.1",)))
    assert own.refusal("192.168.1.1", 53) is None
    assert own.refusal("192.168.1.1", 443) is not None
    assert own.refusal("192.168.1.2", 53) is not None
