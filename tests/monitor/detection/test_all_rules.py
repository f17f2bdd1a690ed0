"""Laws over the rules as data."""

from __future__ import annotations

import re

import pytest

from monitor.detection.all_rules import ALL_RULES, RULES_VERSION, rule_named
from monitor.detection.layers.app import APP_RULES
from monitor.detection.layers.dns import DNS_RULES
from monitor.detection.layers.http import HTTP_RULES
from monitor.detection.layers.quic import QUIC_RULES
from monitor.detection.layers.tcp import TCP_RULES
from monitor.detection.layers.tls import TLS_RULES
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.model import Layer, State, Technique, layer_of
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import Rule, first

BY_LAYER = {
    Layer.DNS: DNS_RULES,
    Layer.TCP: TCP_RULES,
    Layer.TLS: TLS_RULES,
    Layer.QUIC: QUIC_RULES,
    Layer.UDP: UDP_RULES,
    Layer.HTTP: HTTP_RULES,
    Layer.APP: APP_RULES,
}
ACCUSING = (State.BLOCKED, State.THROTTLED)
KINDS = {str(kind) for kind in Kind}


def test_ids_are_unique_and_in_their_layers_name() -> None:
    ids = [rule.id for rule in ALL_RULES]
    assert len(ids) == len(set(ids))
    for rule in ALL_RULES:
        assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", rule.id)
        assert layer_of(rule.id) == (rule.layer or "vantage")


@pytest.mark.parametrize("layer", list(BY_LAYER))
def test_tuples_hold_only_their_layer_and_end_with_a_catch_all(layer: Layer) -> None:
    rules = BY_LAYER[layer]
    assert {rule.layer for rule in rules} == {layer}
    assert rules[-1].id == f"{layer}.unclear"
    assert rules[-1].state is State.INCONCLUSIVE
    assert rules[-1].condition(None)  # type: ignore[arg-type]


def test_every_rule_has_a_comment_for_people() -> None:
    for rule in ALL_RULES:
        assert len(rule.comment) > 15, rule.id
        assert rule.comment[0].isupper(), rule.id


def test_only_accusing_rules_weigh_and_all_of_them_do() -> None:
    for rule in ALL_RULES:
        assert (rule.weight > 0) == (rule.state in ACCUSING), rule.id
        assert rule.weight <= 7_000_000, rule.id
        if rule.technique is not None:
            # Another page, or another certificate, is named as what it may be, and accuses nobody.
            assert rule.state in ACCUSING or rule.id in ("http.differs", "tls.other_name")
            assert layer_of(rule.technique) == rule.layer
            assert (rule.state is State.THROTTLED) == rule.technique.startswith("throttle.")


def test_every_technique_is_named_by_some_rule() -> None:
    assert {rule.technique for rule in ALL_RULES} - {None} == set(Technique)


def test_strong_signatures_and_weak_ones() -> None:
    """What one failure may weigh: typed signatures at least 2 nats, bare silence at most 1."""
    strong = ("sni", "mitm", "injected", "bogon", "blockpage", "foreign_certificate", "nxdomain")
    for rule in ALL_RULES:
        if rule.state is not State.BLOCKED:
            continue
        if any(word in rule.id for word in strong):
            assert rule.weight >= 2_000_000, rule.id
        elif "timeout" in rule.id or "servfail" in rule.id:
            assert rule.weight <= 1_000_000, rule.id


def test_first_match_wins() -> None:
    def rule(id: str, want: int) -> Rule[int]:
        return Rule(id, lambda f: f >= want, State.OK, "Because.")

    rules = (rule("b", 5), rule("a", 1))
    assert [found.id if (found := first(rules, n)) else None for n in (7, 5, 2, 0)] == [
        "b",
        "b",
        "a",
        None,
    ]


def test_named() -> None:
    assert rule_named("tcp.timeout") is TCP_RULES[-2]
    assert rule_named("nothing") is None
    assert RULES_VERSION
