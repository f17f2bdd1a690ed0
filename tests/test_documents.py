"""What the documents name exists: linked files, paths of the code, folders of the two packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")]
FOLDERS = (ROOT / "docs/folders.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)", text)
    gone = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (document.parent / link).exists()
    ]
    assert not gone


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md", "docs/folders.md"])
def test_named_paths_exist(name: str) -> None:
    """Paths may be given without the package and without `.py`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w/.<])([a-z_]+(?:/[a-z_]+)+/?(?:\.\w+)?)(?![\w<])", text)
    assert paths
    gone = [
        path
        for path in sorted(set(paths))
        if not any(
            (ROOT / package / f"{path}{suffix}").exists()
            for package in ("", "docs", "probes", "monitor", "monitor/store")
            for suffix in ("", ".py")
        )
    ]
    assert not gone


@pytest.mark.parametrize("package", ["probes", "monitor"])
def test_the_tables_name_every_folder(package: str) -> None:
    section = FOLDERS.split(f"## Folders of `{package}`")[1].split("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert named == folders
