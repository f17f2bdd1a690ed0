import pytest

from probes.net.resolvers import (
    ResolverError,
    ResolverRoute,
    parse_authority,
    resolver_class,
    routes,
    silent_routes,
    system_routes,
)
from probes.wire.target import Catalogue, Resolver, SilentAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:DB8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:53000", ("2001:db8::1", 53000)),
        ("fe80::1%eth0", ("fe80::1%eth0", 53)),
    ],
)
def test_authority(text, expected):
    assert parse_authority(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "dns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "[::1",
     "[::1]x", "[::1]:", "192.0.2.1:²", "192.0.2.256", "192.0.2.1:9999999999999999999"],
)  # fmt: skip
def test_malformed_authority_is_one_line(text):
    with pytest.raises(ResolverError) as caught:
        parse_authority(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


def test_routes_of_a_full_resolver():
    resolver = Resolver(
        id="lab",
        udp="192.0.2.53",
        doh="https://dns.lab.test:8443/q?x=1",
        doh_address="192.0.2.54",
        doh_trust="PEM1",
        dot="192.0.2.55:8853",
        dot_name="dot.lab.test",
        dot_trust="PEM2",
    )
    assert routes(resolver) == (
        ResolverRoute("lab", "udp", "192.0.2.53", 53),
        ResolverRoute("lab", "tcp", "192.0.2.53", 53),
        ResolverRoute("lab", "dot", "192.0.2.55", 8853, "dot.lab.test", "", "PEM2"),
        ResolverRoute("lab", "doh", "192.0.2.54", 8443, "dns.lab.test", "/q?x=1", "PEM1"),
    )


def test_doh_needs_no_lookup_or_gives_no_route():
    assert routes(Resolver(id="a", doh="https://dns.example/dns-query")) == ()
    (route,) = routes(Resolver(id="a", doh="https://192.0.2.1/dns-query"))
    assert (route.address, route.port, route.server_name) == ("192.0.2.1", 443, "192.0.2.1")
    (route,) = routes(Resolver(id="a", doh="https://dns.example", doh_address="[2001:db8::1]:444"))
    assert (route.address, route.port, route.path) == ("2001:db8::1", 444, "/dns-query")


@pytest.mark.parametrize("url", ["http://dns.example/q", "dns.example", "https://[::1/q",
                                 "https://dns.example:99999/"])  # fmt: skip
def test_malformed_doh(url):
    with pytest.raises(ResolverError):
        routes(Resolver(id="a", doh=url, doh_address="192.0.2.1"))


def test_dot_without_name_shows_its_address():
    (route,) = routes(Resolver(id="a", dot="192.0.2.1"))
    assert (route.port, route.server_name) == (853, "192.0.2.1")


def test_silent_routes():
    catalogue = Catalogue(
        version="x",
        services=(),
        silent=(SilentAddress(address="192.0.2.9"), SilentAddress(address="[::1]:5300")),
    )
    assert silent_routes(catalogue) == (
        ResolverRoute("silent", "udp", "192.0.2.9", 53),
        ResolverRoute("silent", "udp", "::1", 5300),
    )


def test_resolv_conf_in_order_and_no_more_than_a_stub_uses(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_bytes(
        b"# nameserver 192.0.2.1\nsearch lan\nnameserver 192.0.2.2\nnameserver\n"
        b"nameserver dns.example\nnameserver 2001:db8::3 # trailing\n\xff\xfe\n"
        b"nameserver fe80::4%eth0\nnameserver 192.0.2.5\n"
    )
    assert [(r.id, r.transport, r.address, r.port) for r in system_routes(None, path)] == [
        ("system", "udp", "192.0.2.2", 53),
        ("system", "udp", "2001:db8::3", 53),
        ("system", "udp", "fe80::4%eth0", 53),
    ]


def test_no_nameserver_means_this_machine(tmp_path):
    missing = system_routes(None, tmp_path / "none")
    assert [(r.address, r.port) for r in missing] == [("127.0.0.1", 53)]


def test_override(tmp_path):
    assert [(r.address, r.port) for r in system_routes("[::1]:5353", tmp_path)] == [("::1", 5353)]
    with pytest.raises(ResolverError, match=r"'nonsense:1': 'nonsense' is not an IP address"):
        system_routes("nonsense:1")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("192.168.1.1", "private"),
        ("127.0.0.53", "private"),
        ("fd00::1", "private"),
        ("fe80::1%eth0", "private"),
        ("100.64.0.1", "isp"),
        ("81.2.69.142", "isp"),
        ("192.0.2.1", "isp"),
        ("2001:db8::53", "isp"),
        ("0.0.0.0", "unknown"),
        ("dns.example", "unknown"),
        ("", "unknown"),
    ],
)
def test_resolver_class(address, kind):
    assert resolver_class(address) == kind
