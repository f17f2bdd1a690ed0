"""The floors of monitor/detection: imports go down, never up, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

DETECTION = Path(__file__).parents[3] / "monitor" / "detection"
FLOORS = (
    "model policy",
    "fingerprints",
    "observed",
    "rule",
    "layers vantage_rules",
    "all_rules",
    "judge",
    "events",
)
"""From the bottom. What reads imports (`imported`) stands beside them: the rules of a run below
`all_rules`, the fold of runs within `events`."""
PACKAGE = "monitor.detection."


def _module(path: Path) -> str:
    parts = path.relative_to(DETECTION).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {_module(path): path for path in DETECTION.rglob("*.py")}


def _imports(path: Path) -> set[str]:
    """Modules of the detection that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE[:-1]):
            module = (node.module or "")[len(PACKAGE) :]
            for alias in node.names:
                inner = f"{module}.{alias.name}".lstrip(".")
                found.add(inner if inner in FILES else module)
    return found


def _floor(module: str) -> int | None:
    first = module.partition(".")[0]
    return next((n for n, names in enumerate(FLOORS) if first in names.split()), None)


def test_imports_go_down() -> None:
    upwards = [
        f"{module} -> {other}"
        for module, path in FILES.items()
        for other in _imports(path)
        if (here := _floor(module)) is not None
        and (there := _floor(other)) is not None
        and there > here
    ]
    assert upwards == []
    unknown = {module for module in FILES if module and _floor(module) is None}
    assert {module.partition(".")[0] for module in unknown} == {"imported"}


def test_no_circle_of_files() -> None:
    left = {module: _imports(path) - {module} for module, path in FILES.items()}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert left == {}
