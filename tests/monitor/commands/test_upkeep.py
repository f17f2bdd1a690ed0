"""Tokens, probes, catalogue, schema and database from the command line."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.commands import upkeep
from monitor.commands.main import main
from monitor.store.database import open_database
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.records import Added
from monitor.store.rollup import ROLLED
from monitor.store.statements import cursor_value
from probes.wire.enrolment_token import parse_token
from tests.monitor.store.samples import NOON, admitted, concluded, verdict
from tests.world.site import site_of


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


def test_the_life_of_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", str(tmp_path))
    status, out, _ = run(
        capsys, "token", "new", *data, "--owner", "centre", "--role", "control",
        "--public-url", "https://reach.example/",
    )  # fmt: skip
    assert status == 0
    token = parse_token(out)
    assert token.url == "https://reach.example"
    _, listed, _ = run(capsys, "token", "list", *data)
    assert token.id in listed
    assert "valid" in listed
    assert token.secret not in listed
    assert run(capsys, "token", "revoke", token.id, *data)[0] == 0
    assert "revoked" in run(capsys, "token", "list", *data)[1]
    status, _, said = run(capsys, "token", "revoke", "nobody", *data)
    assert (status, said) == (2, "reachwatch: token nobody: not found\n")
    status, _, said = run(capsys, "probes", "revoke", "p-0", *data)
    assert (status, said) == (2, "reachwatch: probe p-0: not found\n")
    status, _, said = run(capsys, "probes", "trust", "p-0", *data)
    assert (status, said) == (2, "reachwatch: probe p-0: not found\n")
    status, _, said = run(capsys, "probes", "trust", "ada", *data)
    assert (status, said) == (2, "reachwatch: owner ada: no probe of theirs is enrolled\n")
    assert run(capsys, "probes", "list", *data)[1].startswith("id  role")


def test_a_token_that_leads_nowhere_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path))
    _, out, said = run(capsys, "token", "new", *data)
    assert parse_token(out).url == "http://127.0.0.1:8080"
    assert "which only this machine can reach" in said
    assert "--public-url" in said
    assert said.startswith(f"reachwatch: {tmp_path}/reachwatch.db: no store there; set --data or")
    assert "no store there" not in run(capsys, "token", "new", *data)[2]
    url = ("--public-url", "https://reach.example")
    assert run(capsys, "token", "new", *data, *url)[2] == ""
    _, out, said = run(capsys, "token", "new", *data, *url, "--container")
    assert out.startswith("docker run ")
    assert out.count("\n") == 1
    assert "HASH is printed by" in said


def test_an_owner_with_control_characters_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, said = run(capsys, "token", "new", "--data", str(tmp_path), "--owner", "a\x1b[31m")
    assert (status, said.count("\n")) == (2, 1)


def test_database_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", str(tmp_path))
    assert run(capsys, "db", "migrate", *data)[1] == "upgraded\n"
    assert run(capsys, "db", "migrate", *data)[1] == "already up to date\n"
    assert "measurement" in run(capsys, "db", "size", *data)[1]
    assert run(capsys, "db", "prune", *data)[1].startswith("0 measurements dropped")
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    assert run(capsys, "db", "move", "--to", other, *data)[0] == 0
    status, _, said = run(
        capsys, "db", "move", "--to", f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db", *data
    )
    assert status == 2
    assert "is the source, not another database" in said


def test_one_owner_in_two_spellings_is_not_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two owners confirm a block."""

    def new(owner: str) -> tuple[int, str]:
        status, _, said = run(
            capsys, "token", "new", "--data", str(tmp_path), "--owner", owner,
            "--public-url", "https://reach.example",
        )  # fmt: skip
        return status, said

    assert new("Ada Lovelace")[0] == 0
    for same in ("ada lovelace", "Ada-Lovelace", "Ada\u00a0Lovelace", "AdaLovelace", "anonymous."):
        status, said = new(same)
        assert (status, said.count("\n")) == (2, 1), same
    assert "is 'Ada Lovelace' in another spelling" in new("ADA LOVELACE")[1]
    for other in ("  Ada   Lovelace ", "Ada", "Áda Lovelace", " ", "", "李雷", "韩梅梅"):
        assert new(other) == (0, ""), other
    listed = run(capsys, "token", "list", "--data", str(tmp_path))[1]
    assert listed.count(" Ada Lovelace ") == listed.count(" anonymous ") == 2


async def test_a_clock_that_is_ahead_drops_nothing_of_what_is_young(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, day = ("--data", str(tmp_path)), 86_400_000
    url = f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db"

    def prune() -> str:
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(
                run, capsys, "db", "prune", "--yes", "--older-than", "3d", *data
            ).result()[1]

    monkeypatch.setattr(upkeep, "wall_clock", lambda: NOON + 400 * day)
    async with await open_database(url) as store:
        assert prune().startswith("0 measurements dropped")  # of nothing
        for number in range(6):
            await store.facts.add([admitted(number, at=NOON + number * day)], [])
        assert prune().startswith("3 measurements dropped")
        assert await store.facts.add([admitted(7, at=NOON + 3 * day)], []) == Added(1, 0, 0)
        monkeypatch.setattr(upkeep, "wall_clock", lambda: NOON + 4 * day)
        assert prune().startswith("0 measurements dropped")


async def test_days_of_a_fleet_that_has_stopped_are_dropped_as_time_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, day = ("--data", str(tmp_path)), 86_400_000
    url = f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db"

    def dropped(now: int) -> int:
        monkeypatch.setattr(upkeep, "wall_clock", lambda: now)
        with ThreadPoolExecutor(1) as aside:
            said = aside.submit(run, capsys, "db", "prune", "--older-than", "3d", *data).result()[1]
        return int(said.partition(" ")[0])

    async with await open_database(url) as store:
        for number in range(6):
            await store.facts.add([admitted(number, at=NOON + number * day)], [])
    last = NOON + 5 * day
    assert [dropped(last + n * day) for n in range(5)] == [2, 1, 1, 1, 1]
    # A clock that jumps ahead, and back, drops no more than one day.
    async with await open_database(url) as store:
        for number in range(6, 12):
            await store.facts.add([admitted(number, at=NOON + number * day)], [])
    last = NOON + 11 * day
    assert dropped(last) == 2
    assert dropped(last + 400 * day) == 1
    assert dropped(last + 400 * day + 1000) == 0
    assert [dropped(last + n * day) for n in range(5)] == [0, 0, 1, 1, 1]


async def test_many_days_are_dropped_only_when_somebody_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, day = ("--data", str(tmp_path)), 86_400_000

    def prune(*words: str, answer: str | None = None) -> tuple[int, str, str]:
        stream = io.StringIO(answer or "")
        monkeypatch.setattr(stream, "isatty", lambda: answer is not None)
        monkeypatch.setattr(sys, "stdin", stream)
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(run, capsys, "db", "prune", *words, *data).result()

    monkeypatch.setattr(upkeep, "wall_clock", lambda: NOON + 9 * day)
    async with await open_database(f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db") as store:
        for number in range(10):
            await store.facts.add([admitted(number, at=NOON + number * day)], [])
    losses = "9 days would be dropped, 2026-09-21 to 2026-09-29, with 9 measurements"
    status, out, said = prune("--older-than", "90s")
    assert (status, out) == (2, "")
    assert said == f"reachwatch: {losses}: add --yes if that is what you want\n"
    for answer in ("", "no\n", "y\n"):
        status, out, said = prune("--older-than", "90s", answer=answer)
        assert (status, out) == (2, "")
        assert said.startswith(f"{losses}. Type yes to drop them: ")
        assert said.endswith("reachwatch: nothing was dropped\n")
    assert prune("--older-than", "7d")[:2] == (
        0,
        "2 measurements dropped, 0 kept as evidence of events\n",
    )
    assert prune("--older-than", "6d", "--yes")[1].startswith("1 measurements dropped")
    assert prune("--older-than", "90s", answer="yes\n")[1].startswith("6 measurements dropped")


async def test_hours_that_pages_count_are_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOON + 11 * DAY_MS
    monkeypatch.setattr(upkeep, "wall_clock", lambda: now)

    def prune(hours: str) -> tuple[int, str, str]:
        words = ("--yes", "--older-than", "1d", "--hours-older-than", hours)
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(
                run, capsys, "db", "prune", *words, "--data", str(tmp_path)
            ).result()

    async with await open_database(f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db") as store:
        rows = [admitted(number, at=NOON + number * DAY_MS) for number in range(12)]
        await store.facts.add(rows, [])
        await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
        for short in ("1h", "4d", "8d", "215h"):
            status, out, said = prune(short)
            assert (status, out) == (2, ""), short
            assert "--hours-older-than: must be at least 9d: " in said
        async with store.reading() as connection:
            assert await cursor_value(connection, PRUNED) == 0  # nor was anything dropped
        status, out, _said = prune("9d")
        assert (status, out.splitlines()[1:]) == (
            0,
            ["hourly counts of 2 days merged into daily counts"],
        )
        async with store.reading() as connection:
            merged = await cursor_value(connection, ROLLED)
        assert 0 < merged <= site_of(store, clock=lambda: now).hours_kept_since


def test_a_file_that_is_no_database_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reachwatch.db").write_text("hello " * 1000)
    status, out, said = run(capsys, "db", "size", "--data", str(tmp_path))
    assert (status, out, said.count("\n")) == (2, "", 1)


def test_schema_and_rules_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run(capsys, "schema")[1])["$ref"] == "#/$defs/Measurement"
    assert "alert: ServiceBlockConfirmed" in run(capsys, "rules", "--pace", "10")[1]
