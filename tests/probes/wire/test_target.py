"""Endpoint ids and names."""

from __future__ import annotations

from probes.wire.target import Catalogue, Endpoint, Service, Target


def test_endpoint_ids() -> None:
    assert Endpoint(host="a.example", port=443, protocol="tls").id == "a.example:443/tls"
    assert Endpoint(address="192.0.2.1", port=80, protocol="tcp").id == "192.0.2.1:80/tcp"
    assert Endpoint(address="2001:db8::1", port=80, protocol="tcp").id == "[2001:db8::1]:80/tcp"


def test_server_name_is_the_host_by_default() -> None:
    assert Endpoint(host="a.example", port=443, protocol="tls").server_name == "a.example"
    assert Endpoint(host="a.example", sni="b", port=443, protocol="tls").server_name == "b"


def test_targets_of_a_catalogue_in_order() -> None:
    def service(id: str) -> Service:
        return Service(id=id, name=id, targets=(Target(id=f"{id}/web", endpoints=()),))

    catalogue = Catalogue(version="x", services=(service("b"), service("a")))
    assert [target.id for target in catalogue.targets] == ["b/web", "a/web"]
