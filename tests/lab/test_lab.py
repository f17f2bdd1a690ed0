"""Twelve cases in real namespaces through the installed commands, and the rules they rest on.

One seed here; `python -m tests.lab.bench` plays three. Needs root, like `unshare` itself.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.detection import endpoint as endpoint_module
from monitor.detection import judge as judge_module
from monitor.detection.judge import judge
from monitor.detection.model import Verdict
from monitor.detection.rules import rule_named
from probes.wire.codec import read_lines
from probes.wire.measurement import Measurement
from tests.lab.cases import BY_NAME, CASES, MORE, Case
from tests.lab.plan import draw
from tests.lab.run import play
from tests.lab.verdicts import faults

TOOLS = ("unshare", "ip", "nft", "iptables", "unbound", "nginx", "hostname", "mount")
AT_ONCE = 6
"""Laboratories side by side: they mostly wait for timeouts."""
pytestmark = [pytest.mark.lab, pytest.mark.slow]


@dataclass
class Laboratories:
    """All laboratories of one seed, each playing one case."""

    seed: int
    folders: dict[str, Path]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measured(self, case: str, space: str) -> list[Measurement]:
        """What was measured in a namespace, decoded."""
        lines = (self.folders[case] / f"{space}.jsonl").read_bytes().splitlines()
        return [m for _, m in read_lines(lines) if isinstance(m, Measurement)]

    def rejudge(self, case: str, with_control: bool = True) -> Verdict:
        """The verdict on the victim, judged again in this process."""
        target = self.records[case]["victim"]
        near, far = self.measured(case, "probe"), self.measured(case, "control")
        (subject,) = (m for m in near if m.target == target)
        (control,) = (m for m in far if m.target == target)
        beside = (control, [m for m in far if m.service == "liveness"])
        alive = [m for m in near if m.service == "liveness"]
        return judge(subject, alive, [beside] if with_control else [])


@pytest.fixture(scope="module")
def laboratories(tmp_path_factory: pytest.TempPathFactory) -> Laboratories:
    """Play every case of one seed, several at once."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {missing or 'nothing more'}")
    seed = int(os.environ.get("REACHWATCH_LAB_SEED", "1"))
    order = draw(seed).order[: len(CASES)]
    root = tmp_path_factory.mktemp("lab")
    labs = Laboratories(seed, {case: root / str(n) for n, case in enumerate(order)})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {c: pool.submit(play, seed, n, labs.folders[c]) for n, c in enumerate(order)}
    labs.records = {case: job.result() for case, job in jobs.items()}
    return labs


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(laboratories: Laboratories, case: Case) -> None:
    record = laboratories.records[case.name]
    assert record["codes"] == {"probe": 0, "control": 0}
    assert (record["judge_code"], record["judge_err"]) == (0, "")
    assert faults(case, record) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_its_rule_the_case_fails(
    laboratories: Laboratories, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = laboratories.rejudge(case.name)
    assert before.rule in case.rules
    rule = rule_named(before.rule)
    for module in (endpoint_module, judge_module):
        for name in ("DNS_RULES", "TCP_RULES", "TLS_RULES", "HTTP_RULES", "VANTAGE_RULES"):
            if hasattr(module, name):
                left = tuple(r for r in getattr(module, name) if r is not rule)
                monkeypatch.setattr(module, name, left)
    after = laboratories.rejudge(case.name)
    assert (after.state, after.technique, after.rule) != (
        before.state,
        before.technique,
        before.rule,
    )
    assert (after.state, after.technique) != (case.state, case.technique) or (
        after.rule not in case.rules
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.accuses], ids=lambda case: case.name
)
def test_without_a_control_it_is_named_and_not_accused(
    laboratories: Laboratories, case: Case
) -> None:
    said = laboratories.rejudge(case.name, with_control=False)
    assert (said.state, said.technique) == ("inconclusive", case.technique)
    assert "no_control" in said.evidence


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_probe_cannot_know_the_case(laboratories: Laboratories, case: Case) -> None:
    seen = laboratories.records[case.name]["seen_by_probe"]
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


def test_every_rule_that_a_case_rests_on_exists() -> None:
    for case in (*CASES, *MORE):
        assert all(rule_named(rule) is not None for rule in case.rules)
    assert len(CASES) == 12
    assert len(BY_NAME) == 12 + len(MORE)
