"""Every case in real namespaces through the installed commands, and the rules they rest on.

The quick run plays the cases in `QUICK`, `./scripts/test --rest` all the others. One seed here;
`./scripts/bench lab` plays three. Needs root, like `unshare` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.detection.all_rules import rule_named
from monitor.detection.judge import address as address_module
from monitor.detection.judge import endpoint as endpoint_module
from monitor.detection.judge import target as judge_module
from monitor.detection.judge.target import judge
from monitor.detection.model import State, Technique, Verdict
from monitor.detection.observed.background import background
from monitor.detection.rule import Rule
from probes.wire.codec import read_lines
from probes.wire.measurement import Measurement
from probes.wire.observation import TCPConnect
from tests.lab.cases import BY_NAME, CASES, MORE, Case
from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.confusion import Confusion
from tests.lab.plan import draw
from tests.lab.reassembly import SPLIT
from tests.lab.run import play
from tests.lab.verdicts import faults

ALL = (*CASES, *MORE)
AT_ONCE = {"quick": 4, "rest": 8}
"""Laboratories side by side: they mostly wait for timeouts. In the quick run other lanes compute
all the time; in the long run those of real pace are played beside these, and this file is long."""
REFUSED = "connection_refused"
QUICK = (
    "dns.on_path",
    "tcp.reset",
    "tls.foreign_certificate",
    "http.block_page",
    "quic.sni_drop",
    "udp.drop",
    "app.reset",
    "throttle.sni",
    "partial.endpoint",
    "geographic_dns",
    "interception",
    "loss",
    "service_down",
)
"""Cases of the quick run."""
LEAST_BENIGN = 4
pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.needs(*PACKAGES),
]


def parameters(cases: Iterable[Case]) -> list[Any]:
    """A parameter a case; those that the quick run leaves out are marked so."""
    return [
        pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.rest)
        for case in cases
    ]


class Laboratories:
    """The laboratories of one seed, each playing one case in a thread of the pool."""

    def __init__(self, seed: int, root: Path, pool: ThreadPoolExecutor) -> None:
        self.seed = seed
        self._root, self._pool = root, pool
        self._order = draw(seed).order
        self._jobs: dict[str, Future[dict[str, Any]]] = {}

    def begin(self, case: str) -> Future[dict[str, Any]]:
        """Play a case, once; return its record in a while."""
        if case not in self._jobs:
            number = self._order.index(case)
            self._jobs[case] = self._pool.submit(play, self.seed, number, self.folder(case))
        return self._jobs[case]

    def folder(self, case: str) -> Path:
        """Where a case is played."""
        return self._root / str(self._order.index(case))

    def record(self, case: str) -> dict[str, Any]:
        """What was seen of a case."""
        return self.begin(case).result()

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Every record of the cases that were begun."""
        return {case: job.result() for case, job in self._jobs.items()}

    def measured(self, case: str, space: str) -> list[Measurement]:
        """What was measured in a namespace, decoded."""
        lines = (self.folder(case) / f"{space}.jsonl").read_bytes().splitlines()
        return [m for _, m in read_lines(lines) if isinstance(m, Measurement)]

    def rejudge(
        self,
        case: str,
        with_control: bool = True,
        change: Callable[[Measurement], Measurement] = lambda m: m,
    ) -> Verdict:
        """The verdict on the victim, judged again in this process."""
        target = self.record(case)["victim"]
        near, far = self.measured(case, "probe"), self.measured(case, "control")
        (subject,) = (m for m in near if m.target == target)
        (control,) = (m for m in far if m.target == target)
        beside = (control, [m for m in far if m.service == "liveness"])
        alive = [m for m in near if m.service == "liveness"]
        others = background(m for m in near if m.service != "liveness" and m is not subject)
        controls = [beside] if with_control else []
        return judge(change(subject), alive, controls, others=others)


@pytest.fixture(scope="module")
def laboratories(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Laboratories]:
    """Begin every selected case of one seed, several at once."""
    need()
    chosen = [
        item.callspec.params.get("case")
        for item in request.session.items
        if item.path == Path(__file__) and hasattr(item, "callspec")
    ]
    names = dict.fromkeys(case.name for case in chosen if isinstance(case, Case))
    with ThreadPoolExecutor(AT_ONCE["quick" if names.keys() <= set(QUICK) else "rest"]) as pool:
        labs = Laboratories(seed(), tmp_path_factory.mktemp("lab"), pool)
        for name in names:
            labs.begin(name)
        yield labs


@pytest.mark.parametrize("case", parameters(ALL))
def test_case(laboratories: Laboratories, case: Case) -> None:
    record = laboratories.record(case.name)
    assert record["codes"] == {"probe": 0, "control": 0}
    assert (record["judge_code"], record["judge_err"]) == (0, "")
    assert faults(case, record) == []


@pytest.mark.parametrize("case", parameters(ALL))
def test_without_its_rule_the_case_fails(
    laboratories: Laboratories, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = laboratories.rejudge(case.name)
    assert before.rule in case.rules
    for module in (address_module, endpoint_module, judge_module):
        for name in [n for n in vars(module) if n.endswith("_RULES")]:
            left = [r for r in getattr(module, name) if not _serves(r, case)]
            monkeypatch.setattr(module, name, tuple(left))
    after = laboratories.rejudge(case.name)
    assert after.rule not in case.rules
    if case.accuses:
        assert (after.state, after.technique) != (case.state, case.technique)


def _serves(rule: Rule[Any], case: Case) -> bool:
    """The case rests on it, or would be saved by it: another rule may name the same technique."""
    return rule.id in case.rules or (case.accuses and rule.technique == case.technique)


@pytest.mark.parametrize("case", parameters(case for case in ALL if case.accuses))
def test_without_a_control_it_is_named_and_not_accused(
    laboratories: Laboratories, case: Case
) -> None:
    said = laboratories.rejudge(case.name, with_control=False)
    if case.part:  # the rest of it works, which needs no control
        assert (said.state, said.technique) == ("ok", None)
    else:
        # That a page of refusal came slowly counts until a control shows it is not the usual page.
        slow = (Technique.THROTTLE_ADDRESS,) if case.technique == Technique.HTTP_451 else ()
        assert said.state is State.INCONCLUSIVE
        assert said.technique in (case.technique, *slow)
        assert "no_control" in said.evidence


@pytest.mark.parametrize("case", parameters(ALL))
def test_the_probe_cannot_know_the_case(laboratories: Laboratories, case: Case) -> None:
    seen = laboratories.record(case.name)["seen_by_probe"]
    text = repr(seen["arguments"]) + repr(seen["environment"]) + seen["host"]
    words = {case.name, case.name.replace(".", "_"), case.name.replace(".", "-")}
    for word in words:
        assert word not in text
        assert word not in repr(seen["catalogue"])
    catalogues = {
        repr(_without_keys(r["seen_by_probe"]["catalogue"])) for r in laboratories.records.values()
    }
    assert len(catalogues) == 1


def _without_keys(files: dict[str, str]) -> dict[str, str]:
    """A catalogue without the root certificate, which is new in every laboratory."""
    return {name: text for name, text in files.items() if not name.endswith(".pem")}


@pytest.mark.rest
def test_a_hello_in_pieces_was_put_together(laboratories: Laboratories) -> None:
    laboratories.record("tls.reassembled")
    log = (laboratories.folder("tls.reassembled") / "servers.log").read_text(errors="replace")
    hellos = [line.split() for line in log.splitlines() if line.startswith(SPLIT)]
    dead = [int(words[-2]) for words in hellos if words[-1] == "dead"]
    assert max(dead) > 1
    assert [words[-1] for words in hellos].count("passed") > 0


@pytest.mark.parametrize(
    "case", ["tcp.reset", pytest.param("tcp.port_unreachable", marks=pytest.mark.rest)]
)
def test_refused_is_said_where_the_source_cannot_tell(
    laboratories: Laboratories, case: str
) -> None:
    """As in imports, which give neither errno nor ICMP."""

    def coarse(subject: Measurement) -> Measurement:
        seen = [
            msgspec.structs.replace(
                o, errno=None, icmp_type=None, icmp_code=None, icmp_from=None, failure=REFUSED
            )
            if isinstance(o, TCPConnect) and o.failure is not None
            else o
            for o in subject.observations
        ]
        return msgspec.structs.replace(subject, observations=tuple(seen))

    said = laboratories.rejudge(case, change=coarse)
    assert (said.state, said.technique, said.rule) == ("blocked", "tcp.refused", "tcp.refused")


def test_the_matrix_is_a_diagonal(laboratories: Laboratories) -> None:
    for name in QUICK:
        laboratories.begin(name)
    seen = Confusion()
    for case, record in laboratories.records.items():
        seen.add(BY_NAME[case], record)
    assert all(promised == said for promised, said in seen.victims), seen.matrix
    assert set(seen.f1().values()) == {1.0}
    assert f"macro-F1 over {len(seen.f1())} techniques: 1.000" in seen.figures


def test_every_rule_that_a_case_rests_on_exists() -> None:
    for case in ALL:
        assert all(rule_named(rule) is not None for rule in case.rules)
    assert len(CASES) == 12
    assert len(BY_NAME) == len(ALL)


def test_the_quick_run_covers_every_layer() -> None:
    quick = [BY_NAME[name] for name in QUICK]
    accused = {case.technique.partition(".")[0] for case in quick if case.technique}
    assert accused == {technique.partition(".")[0] for technique in Technique}
    assert any(case.part for case in quick)
    assert sum(not case.accuses for case in quick) >= LEAST_BENIGN
    assert {case.state for case in quick} >= {"ok", "down", "inconclusive", "throttled", "impaired"}
