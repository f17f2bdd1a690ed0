from __future__ import annotations

import msgspec
import pytest

from monitor.detection import model
from monitor.detection.model import Event, Fact, Layer, State, Technique, Tier, layer_of
from tests.monitor.detection.worlds import START, World, blocked, fact, in_network, standard


def test_words_are_those_of_the_interface() -> None:
    assert [layer.value for layer in Layer] == ["dns", "tcp", "tls", "quic", "udp", "http", "app"]
    assert {state.value for state in State} == {
        "ok",
        "blocked",
        "impaired",
        "throttled",
        "down",
        "inconclusive",
        "insufficient",
        "vantage_offline",
    }
    assert [tier.value for tier in Tier] == ["unconfirmed", "likely", "confirmed"]


@pytest.mark.parametrize("technique", Technique)
def test_a_technique_has_a_layer(technique: Technique) -> None:
    assert layer_of(technique) in {layer.value for layer in Layer}


def test_facts_and_events_survive_their_encoding() -> None:
    world = World(standard()).quiet().run(4, in_network(64501, blocked()))
    some = fact(world.people[0], START, blocked())
    for value in (some, world.only):
        kind: type[Fact | Event] = type(value)
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


def test_values_are_immutable() -> None:
    kinds = [
        each
        for each in vars(model).values()
        if isinstance(each, type)
        and issubclass(each, msgspec.Struct)
        and each.__module__ == model.__name__
    ]
    assert len(kinds) >= 8
    assert all(kind.__struct_config__.frozen for kind in kinds)
