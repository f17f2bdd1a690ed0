"""The matrix of services by country or network."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.present import PresentState
from monitor.detection.model import State
from monitor.web.draw.matrix import cell, country_matrix, network_matrix
from monitor.web.site import Site
from tests.world import site as world

EVENTS = {event.id: event for event in world.events()}


def test_without_an_event_nothing_is_called_blocked() -> None:
    for state, word in (
        (State.BLOCKED, "fails, not confirmed"),
        (State.IMPAIRED, "partly fails, not confirmed"),
        (State.THROTTLED, "slow, not confirmed"),
        (State.INCONCLUSIVE, "cause unclear"),
    ):
        made = cell([State.INCONCLUSIVE, state, State.OK], None)
        assert made is not None
        assert (made["kind"], made["word"], made["rank"]) == ("inconclusive", word, 4)
        assert made["event"] is None
    inhibited = cell([State.BLOCKED], EVENTS[world.INHIBITED])
    assert inhibited is not None
    assert inhibited["word"] == "fails, not confirmed"
    assert cell([], None) is None
    for state in (State.OK, State.VANTAGE_OFFLINE, State.INSUFFICIENT):
        fine = cell([state], None)
        assert fine is not None
        assert fine["rank"] == 5


def test_a_cell_shows_the_event_or_the_state_of_the_rounds() -> None:
    words = {
        world.CONFIRMED: ("blocked", "blocked (confirmed)"),
        world.LIKELY: ("likely", "likely blocked"),
        world.SINGLE: ("single", "seen from one vantage only"),
    }
    for id, (kind, word) in words.items():
        made = cell([State.OK], EVENTS[id])
        assert made is not None
        assert (made["kind"], made["word"]) == (kind, word)
    part = cell([State.OK], replace(EVENTS[world.CONFIRMED], extent="partial"))
    assert part is not None
    assert (part["kind"], part["word"]) == ("blocked", "blocked (confirmed), in part")
    for state, word in (
        (State.OK, "reachable"),
        (State.DOWN, "service down"),
        (State.VANTAGE_OFFLINE, "vantage offline"),
        (State.INSUFFICIENT, "no data"),
    ):
        made = cell([state], None)
        assert made is not None
        assert made["word"] == word


async def test_the_matrix_puts_what_is_blocked_first(site: Site) -> None:
    states = {(service, "RU"): {State.OK} for service in ("signal", "wechat", "telegram")}
    countries, listed = country_matrix(
        site.catalogue.services, states, [EVENTS[world.CONFIRMED]], {}
    )
    assert countries == ["RU"]
    assert [name for _, name, _ in listed] == ["WeChat", "Signal", "Telegram"]


def test_a_cell_says_which_functions_and_how_many_networks() -> None:
    """A web client in one network of two is not the service in the country."""
    event = replace(EVENTS[world.CONFIRMED], targets_measured=2, networks_measured=2)
    assert (cell([State.OK], event) or {})["scope"] == "web client, 1 of 2 networks"
    assert (cell([State.OK], event, networks=False) or {})["scope"] == "web client"
    whole = replace(event, targets_measured=1, networks_measured=1)
    assert (cell([State.OK], whole) or {})["scope"] == "web client"
    many = replace(event, targets=("a/web", "a/api", "a/login", "a/dc"), targets_measured=9)
    assert (cell([State.OK], many) or {})["scope"] == "web client, API, 2 more, 1 of 2 networks"
    every = replace(many, targets_measured=4)
    assert (cell([State.OK], every) or {})["scope"] == "4 functions, 1 of 2 networks"
    assert (cell([State.OK], None) or {})["scope"] == ""
    assert (cell([State.OK], None, 8, 8) or {})["scope"] == ""
    assert (cell([State.OK], None, 1, 8) or {})["scope"] == "1 of 8 functions"
    assert (cell([State.OK, State.DOWN], None, 1, 8) or {})["scope"] == ""
    rows = [
        PresentState(
            target="wechat/web",
            country="RU",
            asn=asn,
            state=State.OK,
            technique=None,
            rule="",
            vantages=1,
            agreeing=1,
            round=0,
        )
        for asn in (64501, 64502)
    ]
    _networks, ((_id, _name, cells),) = network_matrix(world.CATALOGUE.services[:1], rows, [event])
    assert [each and each["scope"] for each in cells] == ["web client", "1 of 2 functions"]
