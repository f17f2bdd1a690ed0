"""What a catalogue from the monitor may not make a probe do."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from probes.catalogue.limits import MAX_HOST_ENDPOINTS, MAX_TARGETS, beyond_limits
from probes.catalogue.load import load
from probes.wire.target import (
    Catalogue,
    Endpoint,
    LivenessHost,
    Resolver,
    Service,
    SilentAddress,
    SNIContrast,
    Target,
)

SHIPPED = load()


def catalogue(*endpoints: Endpoint, **fields: Any) -> Catalogue:
    target = Target(id="x/y", endpoints=endpoints or (Endpoint(host="x.example", port=443,
                                                               protocol="tls"),))  # fmt: skip
    services = (Service(id="x", name="X", targets=(target,)),)
    return Catalogue(**({"version": "v", "services": services} | fields))


def endpoint(**fields: Any) -> Catalogue:
    values = {"host": "x.example", "port": 443, "protocol": "tls"} | fields
    return catalogue(Endpoint(**values))


def test_the_shipped_catalogue_is_within_its_limits() -> None:
    assert beyond_limits(SHIPPED, SHIPPED) == []
    assert beyond_limits(catalogue(), SHIPPED) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (endpoint(port=25), "port 25 is not one"),
        (endpoint(port=22, protocol="tcp"), "port 22"),
        (endpoint(port=6379), "port 6379"),
        (endpoint(path="/?delete=1", protocol="http", port=80), "has a query"),
        (endpoint(path="/" + "x" * 200, protocol="https"), "is long"),
        (endpoint(host="", address="192.168.1.1", sni="x.example"), "not a global address"),
        (endpoint(host="", address="224.0.0.251", sni="x.example"), "not a global address"),
        (endpoint(host="", address="::1", sni="x.example"), "not a global address"),
        (
            catalogue(
                liveness=(
                    LivenessHost(host="10.0.0.1", port=80, protocol="tcp", scope="international"),
                )
            ),
            "10.0.0.1: not a global",
        ),
        (
            catalogue(
                liveness=(
                    LivenessHost(host="a.example", port=25, protocol="tcp", scope="international"),
                )
            ),
            "port 25",
        ),
        (catalogue(resolvers=(Resolver(id="r", udp="8.8.8.8:123"),)), "8.8.8.8: port 123"),
        (catalogue(resolvers=(Resolver(id="r", dot="8.8.8.8:25"),)), "port 25"),
        (catalogue(resolvers=(Resolver(id="r", doh="https://d.example:8443/q"),)), "port 8443"),
        (catalogue(resolvers=(Resolver(id="r", udp="192.168.1.1"),)), "not a global"),
        (catalogue(silent=(SilentAddress(address="8.8.8.8:161"),)), "port 161"),
        (catalogue(sni=SNIContrast(address="8.8.8.8:22")), "port 22 is none of a reflector"),
        (catalogue(sni=SNIContrast(address="127.0.0.1:443")), "127.0.0.1: not a global"),
    ],
)
def test_destinations(found: Catalogue, words: str) -> None:
    (line,) = beyond_limits(found, SHIPPED)
    assert words in line


def test_no_host_is_asked_by_many_endpoints() -> None:
    many = [
        Endpoint(host="victim.example", port=port, protocol=protocol)
        for protocol in ("tls", "tcp", "https", "quic", "stun")
        for port in (80, 443, 5222, 8080)
    ]
    (line,) = beyond_limits(catalogue(*many), SHIPPED)
    assert line == f"victim.example: 20 endpoints, at most {MAX_HOST_ENDPOINTS}"


def test_there_are_not_too_many_of_anything() -> None:
    (service,) = catalogue().services
    targets = tuple(replace(service.targets[0], id=f"x/t{n}", endpoints=()) for n in range(501))
    found = catalogue(services=(replace(service, targets=targets),))
    assert beyond_limits(found, SHIPPED) == [f"501 targets, at most {MAX_TARGETS}"]
    (line,) = beyond_limits(catalogue(services=(service,) * 201), SHIPPED)[:1]
    assert line.startswith("201 services")
