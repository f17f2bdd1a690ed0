"""Nothing that is written can be read as something else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from monitor.alerts.alert import Span
from monitor.alerts.yaml import as_yaml


def test_text_cannot_break_out() -> None:
    assert as_yaml({"a": 'x"\n- evil: 1'}) == 'a: "x\\"\\n- evil: 1"\n'


def test_nesting_and_kinds() -> None:
    value = {"a": [{"b": [1, True], "c": {}}, [], "yes"], "d": Span("5s"), "e": None}
    assert as_yaml(value) == (
        'a:\n  - b:\n      - 1\n      - true\n    c: {}\n  - []\n  - "yes"\nd: 5s\ne: null\n'
    )


def test_hostile_text_arrives_as_it_was(tmp_path: Path) -> None:
    """Through a real reader of YAML: promtool prints what it understood."""
    text = "- x: &a *b !!c # é {} \" ' \\ \t %"
    rule = {"record": "x", "expr": "vector(1)", "labels": {"l": text}}
    (tmp_path / "rules.yml").write_text(as_yaml({"groups": [{"name": "g", "rules": [rule]}]}))
    unit = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "promql_expr_test": [
                    {
                        "expr": "x",
                        "eval_time": "1m",
                        "exp_samples": [{"labels": f"x{{l={json.dumps(text)}}}", "value": 1}],
                    }
                ]
            }
        ],
    }
    (tmp_path / "unit.yml").write_text(as_yaml(unit))
    run = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "unit.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
