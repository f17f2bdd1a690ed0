"""The documents hold together: links, anchors and paths lead somewhere, in documents and in what
refers to them; no page is longer than a reader takes in at once; the tables name every folder."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = {"README.md": 9_000, "CHANGELOG.md": 4_000}
"""Bytes of a document; 10,000 of any other."""
FOLDERS = (ROOT / "docs/folders.md").read_text(encoding="utf-8")
FOLDERS_OF_FILES = ("benchmarks", "deploy", "docs", "monitor", "probes", "scripts", "tests")
FILES = [
    path
    for paths in (ROOT.glob("*.*"), *((ROOT / name).rglob("*") for name in FOLDERS_OF_FILES))
    for path in paths
    if path.is_file()
]
DOCUMENTS = sorted(path for path in FILES if path.suffix in (".md", ".ipynb"))
REFERRING = {".md", ".py", ".toml", ".yml", ".yaml", ".html", ".ipynb", ""}
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of the headings of a document, as GitHub makes them."""
    outside = re.sub(r"^( *)```.*?^\1```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    )


def links(document: Path) -> list[tuple[str, Path, str]]:
    """Each link of a document into the repository: as written, its file, its anchor."""
    leading = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if not re.match(r"[a-z]+:", link):
            file, _, anchor = link.partition("#")
            leading.append((link, (document.parent / file).resolve() if file else document, anchor))
    return leading


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    dead = [
        link
        for link, target, anchor in links(ROOT / name)
        if not target.exists() or (anchor and anchor not in anchors(target))
    ]
    assert not dead


def test_links_lead_from_the_readme_to_every_document() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        reached.add(document)
        waiting += {target for _, target, _ in links(document)} & set(DOCUMENTS) - reached
    assert set(DOCUMENTS) - reached == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_short(name: str) -> None:
    assert len(text_of(ROOT / name).encode()) <= LONGEST.get(name, 10_000)


def exists(path: str) -> bool:
    """A bare name may be in any folder; capitals and `*` in a path stand for many files."""
    if path.endswith(".py") and "/" not in path:
        return any(file.name == path for file in FILES)
    ours = path.startswith(tuple(f"{folder}/" for folder in FOLDERS_OF_FILES))
    placeholder = re.search(r"[A-Z]{3,}(?!\w*\.md)", path)
    return not ours or bool(placeholder) or any(ROOT.glob(path.rstrip("/")))


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_backticks_exist(name: str) -> None:
    named = re.findall(r"`([\w.\-/*]+)`", text_of(ROOT / name))
    assert [path for path in named if not exists(path)] == []


OF_OTHERS = r"[\w\-]+/[\w\-]+ (?:[0-9a-f]{8} )?"
"""A repository, and its commit, whose document is a source of ours."""


def test_documents_that_code_refers_to_exist() -> None:
    gone = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        if path.suffix in REFERRING
        for others, name in re.findall(
            rf"({OF_OTHERS})?(?<![\w/])((?:docs|deploy)/[\w\-/]+\.(?:md|svg))", text_of(path)
        )
        if not others and not (ROOT / name).exists()
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


def test_the_tests_that_the_table_of_attacks_names_exist() -> None:
    rows = re.findall(r"(?m)^\| (?!attack |fault )(.+) \|$", text_of(ROOT / "docs/attacks.md"))
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", "\n".join(rows))
    assert len(named) >= len(rows) > 50
    assert [row for row in rows if "::test_" not in row] == []
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"def {name}\(", text_of(ROOT / "tests" / file))
    ]
    assert missing == []
