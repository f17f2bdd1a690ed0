"""Every column of the API and of the files has its line in the dictionary, and no line is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands.main import main
from monitor.interop import archive
from monitor.interop.dictionary import API, FILES, TABLES, pages
from monitor.interop.forms import event_form
from monitor.interop.ooni.writing import document as ooni_document
from monitor.web.api.endpoints import LISTS
from tests.monitor.store.samples import admitted
from tests.world import site as world
from tests.world.site import Client, client, make_file, opened

ROOT = Path(__file__).resolve().parents[3]


def of(id: str) -> list[str]:
    return list(next(table for table in TABLES if table.id == id).columns)


def test_the_document_is_current() -> None:
    files = (ROOT / "docs/dictionary").iterdir()
    written = {file.name: file.read_text(encoding="utf-8") for file in files}
    assert written == pages(), "reachwatch schema --markdown docs/dictionary"


def test_the_command_writes_every_page(tmp_path: Path) -> None:
    assert main(["schema", "--markdown", str(tmp_path / "new")]) == 0
    assert {file.name for file in (tmp_path / "new").iterdir()} == set(pages())


def test_every_list_has_its_columns() -> None:
    assert {table.id for table in API} >= {name for name, _ in LISTS}


def test_every_file_column_is_there() -> None:
    assert of("archive") == list(archive.COLUMNS)
    assert of("jsonl") == list(ooni_document(admitted(1).stored))
    assert all(meaning for table in FILES for meaning in table.columns.values())


def test_every_event_key_is_there() -> None:
    keys = {name.split(".")[0] for name in of("events")}
    assert all(set(event_form(event)) == keys for event in world.events())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("dictionary") / "world.sqlite")


async def test_every_json_key_is_there(file: Path, tmp_path: Path) -> None:
    async with opened(file, tmp_path) as site, client(site) as web:
        for name, _ in LISTS:
            await _compare(web, name, f"/api/v1/{name}?since=2027-01-01")
        await _compare(web, "timeline_by_network", "/api/v1/timeline?by=network&service=wechat")


async def _compare(web: Client, name: str, path: str) -> None:
    body = await (await web.get(path)).json()
    rows = body[name.partition("_")[0]]
    assert rows, name
    documented = {column.split(".")[0] for column in of(name)}
    for row in rows:
        assert set(row) == documented, name
        for state in row.get("states", ()):
            assert {f"states.{key}" for key in state} == {
                ".".join(column.split(".")[:2]) for column in of(name) if column[:7] == "states."
            }


async def test_the_page_shows_it(file: Path, tmp_path: Path) -> None:
    async with opened(file, tmp_path) as site, client(site) as web:
        answer = await web.get("/data/dictionary")
        text = await answer.text()
        assert answer.status == 200
    for table in TABLES:
        assert f'id="{table.id}"' in text
        assert all(f"<code>{name}</code>" in text for name in table.columns)
