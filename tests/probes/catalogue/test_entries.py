from __future__ import annotations

import pytest

from probes.catalogue import entries
from probes.catalogue.table import Findings, Table


def table(**values: object) -> Table:
    return Table(values, "a.toml", "", Findings())


def no_trust(table: Table, key: str) -> str:
    return str(table.value(key, str, ""))


@pytest.mark.parametrize("port", [True, "443", 443.0, [443], -1, 65536])
def test_a_port_is_a_whole_number_in_range(port: object) -> None:
    entry = table(host="a.example", port=port, protocol="tcp", source="here")
    entries.endpoint(entry, no_trust)
    assert len(entry.findings.faults) == 1


def test_a_service_with_too_many_endpoints_is_refused() -> None:
    endpoint = {"protocol": "tcp", "port": 1, "source": "here"}
    many = [endpoint | {"host": f"h{index}.example"} for index in range(129)]
    entry = table(id="a", name="A", target=[{"id": "a/b", "endpoint": many}])
    entries.service(entry, no_trust)
    assert entry.findings.faults == ["a.toml: target[0].endpoint: 129 entries, at most 128"]


def test_a_service_without_targets_and_a_target_without_endpoints_are_refused() -> None:
    for target, line in (
        ([], "a.toml: target: expected at least 1, got 0"),
        ([{"id": "a/b"}], "a.toml: target[0].endpoint: is missing"),
    ):
        entry = table(id="a", name="A", target=target)
        entries.service(entry, no_trust)
        assert entry.findings.faults == [line]


def test_a_resolver_over_every_transport() -> None:
    entry = table(
        id="one",
        udp="[2001:DB8::53]:5300",
        doh="https://dns.example/dns-query",
        doh_address="192.0.2.53",
        dot="192.0.2.53:853",
        dot_name="DNS.example",
        role="subject",
        source="here",
    )
    found = entries.resolver(entry, no_trust)
    assert not entry.findings.faults
    assert (found.udp, found.dot, found.dot_name) == (
        "[2001:db8::53]:5300",
        "192.0.2.53:853",
        "dns.example",
    )


def test_a_key_of_a_missing_transport_is_refused() -> None:
    entry = table(id="one", udp="192.0.2.53", dot_name="dns.example", source="here")
    entries.resolver(entry, no_trust)
    assert entry.findings.faults == ["a.toml: dot_name: means nothing without dot"]


def test_an_international_host_has_no_country() -> None:
    entry = table(
        host="a.example", port=1, protocol="tcp", scope="international", country="RU", source="x"
    )
    entries.liveness_host(entry, no_trust)
    assert entry.findings.faults == ["a.toml: country: belongs to scope domestic"]


def test_a_reflector_may_be_given_by_address_and_port() -> None:
    entry = table(innocuous="example.org", address="192.0.2.1:4433")
    assert entries.sni_contrast(entry, no_trust).address == "192.0.2.1:4433"
    assert not entry.findings.gaps
