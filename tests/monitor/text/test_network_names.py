"""Names of networks: from the table that is shipped, short beside the number."""

from __future__ import annotations

import pytest

from monitor.text import network_names
from monitor.text.network_names import find, names, network, short_name


@pytest.mark.parametrize(
    ("asn", "label"),
    [
        (8359, "AS8359 MTS"),
        (8402, "AS8402 Vimpelcom"),
        (15169, "AS15169 Google"),
        (3352, "AS3352 TELEFONICA DE ESPANA"),
        (0, "AS0 (network unknown)"),
        (64501, "AS64501"),
        (8295, "AS8295"),  # registered as "AS8295"
        (2638, "AS2638 CENTRO DE ADMINISTRACION NIC.NI"),
    ],
)
def test_a_network_has_its_name_beside_its_number(asn: int, label: str) -> None:
    assert network(asn) == label


def test_every_name_can_be_shown() -> None:
    assert len(names()) > 90_000
    assert list(names()) == sorted(names())
    for asn in list(names())[::97]:
        short = short_name(asn)
        assert short or str(asn) in names()[asn]
        assert len(short) <= network_names.MAX_LABEL
        assert "\n" not in short
        assert '"' not in short


def test_a_name_is_found_that_of_known_networks_first() -> None:
    assert 8359 in find("mts pjsc", (), 20)
    assert find("mts", {8359}, 20)[0] == 8359
    assert len(find("telecom", (), 20)) == 20
    assert find("no network is called so", (), 20) == []


def test_networks_of_a_demonstration_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_names, "_simulated", {})
    try:
        network_names.name_simulated({64501: "Demo Telecom East"})
        assert network(64501) == "AS64501 Demo Telecom East"
        assert find("telecom east", {64501}, 20)[0] == 64501
    finally:
        short_name.cache_clear()


@pytest.mark.parametrize(
    ("name", "short"),
    [("AS5 - Five", "Five"), ("5 Five", "Five"), ("55 Five", "55 Five"), ("5up", "5up")],
)
def test_the_number_alone_is_left_out(
    name: str, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_names, "_simulated", {})
    try:
        network_names.name_simulated({5: name})
        assert short_name(5) == short
    finally:
        short_name.cache_clear()


def test_a_name_from_right_to_left_does_not_move_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network_names, "_simulated", {})
    try:
        network_names.name_simulated({64501: "بزرگراه", 64502: "Société"})
        assert network(64501) == "AS64501 \u2068بزرگراه\u2069"
        assert network(64502) == "AS64502 Société"
    finally:
        short_name.cache_clear()


def test_the_licence_of_the_table_is_beside_it() -> None:
    text = network_names.FILE.with_name("LICENSES").read_text()
    for word in ("Attribution 4.0", "db-ip.com", "routeviews.org", "nro.net"):
        assert word in text
