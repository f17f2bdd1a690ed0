"""The notebook in docs answers its question against a running server, in ten lines."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from tests.monitor.web.browsing import served

NOTEBOOK = Path(__file__).resolve().parents[4] / "docs/networks-blocked.ipynb"


def test_the_notebook_answers(
    world_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    code = "".join(line for cell in cells for line in [*cell["source"], "\n"])
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    out = io.StringIO()
    with served(world_file, tmp_path) as address, contextlib.redirect_stdout(out):
        monkeypatch.setenv("REACHWATCH_URL", address)
        exec(compile(code, NOTEBOOK.name, "exec"), {})
    # WeChat was blocked in one of the two networks that measure it there.
    assert out.getvalue().split() == ["2027-01-15", "1", "of", "2", "50%", "█" * 20]
