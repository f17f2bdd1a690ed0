"""Where OONI's names and addresses belong in our catalogue."""

from __future__ import annotations

import pytest

from tests.monitor.interop.samples import DC, targets_by_name


@pytest.mark.parametrize(
    ("name", "port", "target"),
    [
        ("149.154.175.50", 80, "telegram/dc"),
        ("web.telegram.org", 443, "telegram/web"),
        ("telegram.org", 80, "telegram/site"),
        ("t.me", 0, "telegram/links"),
        ("telegram.me", 443, "telegram/links"),
        ("e7.whatsapp.net", 5222, "whatsapp/messaging"),
        ("v.whatsapp.net", 443, "whatsapp/login"),
        ("Web.WhatsApp.com.", 0, "whatsapp/web"),
        ("textsecure-service.whispersystems.org", 443, "signal/chat"),
        ("chat.signal.org", 443, "signal/chat"),
        ("cdn2.signal.org", 443, "signal/media"),
        ("b-graph.facebook.com", 443, "messenger/api"),
        ("stun.fbsbx.com", 0, "messenger/calls"),
        ("edge-mqtt.facebook.com", 443, "messenger/messaging"),
    ],
)
def test_every_host_of_oonis_tests_has_its_target(name: str, port: int, target: str) -> None:
    place = targets_by_name().place(name, port)
    assert place is not None
    assert place.target == target


def test_other_sites_have_none() -> None:
    assert targets_by_name().place("www.example.org", 443) is None
    assert targets_by_name().place("192.0.2.1", 443) is None


def test_endpoints_are_the_catalogues_where_it_has_them() -> None:
    place = targets_by_name().place(DC[0], 80)
    assert place is not None
    assert place.endpoint.startswith(f"{DC[0]}:80/")
    other = targets_by_name().place("telegram.org", 80)
    assert other is not None
    assert other.endpoint == "telegram.org:80/http"
    refs = targets_by_name().refs("telegram/site", {other.endpoint})
    assert [ref.id for ref in refs] == ["telegram.org:443/https", "telegram.org:80/http"]
    assert refs[1].host == "telegram.org"


def test_an_endpoint_that_only_ooni_saw_is_spelled_like_ours() -> None:
    place = targets_by_name().place("149.154.175.50", 8443)
    assert place is not None
    assert targets_by_name().refs("telegram/dc", {place.endpoint})[-1].host == ""


def test_what_a_name_dials() -> None:
    assert targets_by_name().dials("e1.whatsapp.net", 5222)
    assert not targets_by_name().dials("v.whatsapp.net", 5222)


def test_services_with_an_authority_of_their_own() -> None:
    assert targets_by_name().own_authority == {"signal"}
