from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from monitor.detection.calm.block import BAD, DOWN, GOOD, OFFLINE, SILENT, UNSUPPORTED
from monitor.detection.calm.evidence import Evidence, gathered, strangers
from monitor.detection.calm.packing import packed
from monitor.detection.model import Layer, State, Verdict
from monitor.detection.sequence import gates
from tests.monitor.detection import worlds
from tests.monitor.detection.worlds import POLICY, START, World, blocked, fact, ok, vantages

SAID = [
    ok(),
    blocked(),
    blocked(state=State.IMPAIRED),
    worlds.BLACKHOLE,
    worlds.DOWN,
    worlds.OFFLINE,
    worlds.UNCONTROLLED,
    Verdict(target=worlds.TARGET, state=State.INSUFFICIENT, rule="r"),
    Verdict(target=worlds.TARGET, state=State.BLOCKED, layer=Layer.TCP, rule="bare"),
]


def said(*verdicts: Verdict) -> Evidence:
    people = vantages(len(verdicts))
    facts = [fact(who, START, verdict) for who, verdict in zip(people, verdicts, strict=True)]
    return gathered(np.arange(len(facts)), facts)


def test_facts_become_columns() -> None:
    found = said(*SAID)
    assert found.outcome.tolist() == [
        *(GOOD, BAD, BAD, BAD, DOWN, OFFLINE, UNSUPPORTED, SILENT, BAD),
    ]
    assert found.accuses.tolist() == [each == BAD for each in found.outcome.tolist()]
    assert np.flatnonzero(found.groundless).tolist() == [4, 6], "down and uncontrolled"
    assert found.shaken.tolist() == found.groundless.tolist()
    assert found.bad_row.tolist() == [1, 2, 3, 8]
    assert found.bad_weight.tolist() == [worlds.STRONG, worlds.STRONG, 0, 0]
    assert found.rule == ["tls.reset.sni", "tls.reset.sni", "tcp.timeout", "bare"]
    assert found.technique == ["tls.reset.sni", "tls.reset.sni", "tcp.timeout", ""]
    assert found.part == [False, True, False, False]
    assert sorted(zip(found.fine_row.tolist(), found.fine_layer.tolist(), strict=True)) == [
        *((1, 0), (1, 1), (2, 0), (2, 1), (3, 0)),
    ]


def test_what_takes_the_ground() -> None:
    """A gate that is shut asks less; a retest takes nothing else."""
    who = vantages(1)[0]
    for verdict, open_, shut in (
        (worlds.DOWN, True, True),
        (worlds.UNSEEN, True, True),
        (worlds.OFFLINE, False, False),
        (blocked(), False, False),
    ):
        for retest in (False, True):
            one = replace(fact(who, START, verdict), retest=retest)
            found = gathered(np.arange(1), [one])
            assert found.groundless.tolist() == [open_ and not retest]
            assert found.shaken.tolist() == [shut]
            assert gates.groundless(one, False) is (open_ and not retest)
            assert gates.groundless(one, True) is shut


def test_without_some_vantages() -> None:
    less = said(*SAID).without(np.array([1, 3]))
    assert less.row.tolist() == [0, 2, 4, 5, 6, 7, 8]
    assert (less.bad_row.tolist(), less.rule) == ([2, 8], ["tls.reset.sni", "bare"])
    assert set(less.fine_row.tolist()) == {2}


def test_what_columns_have_no_place_for_is_found() -> None:
    people = [*vantages(1), *vantages(1, asn=64502), *vantages(1, asn=64503)]
    block = packed("wechat/messaging", World(people).quiet(1).state.networks.items(), POLICY)
    known = [fact(who, START, ok()) for who in people]
    assert strangers(block, gathered(np.arange(3), known)).tolist() == []
    http = fact(people[1], START, ok([Layer.HTTP]))
    assert strangers(block, gathered(np.array([1]), [http])).tolist() == [1]
    twice = gathered(np.array([2, 2]), [known[2], fact(people[2], START, worlds.OFFLINE)])
    assert strangers(block, twice).tolist() == [2]
    named = blocked()
    both = Verdict(
        target=named.target,
        state=State.BLOCKED,
        rule="r",
        findings=(*named.findings, named.findings[-1]),
    )
    assert strangers(block, gathered(np.array([0]), [fact(people[0], START, both)])).tolist() == [0]
