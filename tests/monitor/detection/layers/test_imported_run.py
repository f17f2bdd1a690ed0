"""The rules over imported runs are data: unique, explained, and none accuses."""

from __future__ import annotations

from monitor.detection.all_rules import rule_named
from monitor.detection.layers.imported_run import BOGON, IMPORT_RULES, NO_WORD, PAGE, RunFacts
from monitor.detection.model import Layer, State
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first


def test_ids_are_unique_comments_present_and_none_accuses_without_a_control() -> None:
    ids = [rule.id for rule in IMPORT_RULES]
    assert len(set(ids)) == len(ids)
    assert all(rule.comment and rule.state is State.INCONCLUSIVE for rule in IMPORT_RULES)
    assert all(rule.id.startswith("imported.") for rule in IMPORT_RULES)


def test_every_way_to_fail_has_a_rule() -> None:
    for layer in Layer:
        for kind in (*Kind, BOGON, PAGE, NO_WORD, "nonsense"):
            rule = first(IMPORT_RULES, RunFacts(layer, kind))
            assert rule is not None
            assert rule.layer in (layer, None)
            if rule.technique is not None:
                assert rule.technique.value.partition(".")[0] == layer.value


def test_pages_can_explain_each() -> None:
    assert all(rule_named(rule.id) is rule for rule in IMPORT_RULES)


def test_what_nature_does_most_weighs_least() -> None:
    weights = {rule.id: rule.weight for rule in IMPORT_RULES}
    assert weights["imported.tcp_timeout"] < weights["imported.tls_reset"]
    assert weights["imported.dns_no_word"] < weights["imported.dns_nxdomain"]
    assert max(weights.values()) == weights["imported.dns_bogon"]
