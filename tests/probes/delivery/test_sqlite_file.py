import sqlite3
from pathlib import Path

import pytest

from probes.delivery.sqlite_file import BALLAST, DiskError, SQLiteFile


def prepare(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY)")


def add(db: sqlite3.Connection, x: int) -> int:
    db.execute("INSERT INTO t VALUES (?)", (x,))
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


async def test_a_finished_call_is_on_disk_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    disk = SQLiteFile(tmp_path / "t.db", prepare, lambda db: None)
    assert await disk.run(add, 1) == 1

    def half(db: sqlite3.Connection) -> None:
        add(db, 2)
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await disk.run(half)
    assert await disk.run(add, 3) == 2
    with pytest.raises(DiskError, match="UNIQUE"):
        await disk.run(add, 3)
    assert await disk.run(add, 4) == 3
    assert (tmp_path / BALLAST).exists()
    with sqlite3.connect(tmp_path / "t.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    await disk.close()


async def test_a_damaged_file_is_renamed_and_logged(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    disk = SQLiteFile(tmp_path / "t.db", prepare, lambda db: None)
    assert await disk.run(add, 1) == 1
    assert len(list(tmp_path.glob("t.db.corrupt-*"))) == 1
    assert "damaged file" in disk.messages[0]
    await disk.close()


async def test_damage_while_it_is_open(tmp_path: Path) -> None:
    disk = SQLiteFile(tmp_path / "t.db", prepare, lambda db: None)
    await disk.run(add, 1)

    def damaged(db: sqlite3.Connection) -> int:
        if not list(tmp_path.glob("t.db.corrupt-*")):
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return add(db, 5)

    assert await disk.run(damaged) == 1
    assert len(list(tmp_path.glob("t.db.corrupt-*"))) == 1
    await disk.close()


async def test_rows_are_freed_when_the_disk_is_full(tmp_path: Path) -> None:
    freed = []

    def free(db: sqlite3.Connection) -> None:
        freed.append(db.execute("DELETE FROM t WHERE x < 10").rowcount)

    disk = SQLiteFile(tmp_path / "t.db", prepare, free)
    disk.retry_full_seconds = 0.0
    for x in range(20):
        await disk.run(add, x)

    def full(db: sqlite3.Connection) -> int:
        if not freed:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return add(db, 99)

    assert await disk.run(full) == 11
    assert freed == [10]
    assert disk.messages[-1] == "the disk has free space again"
    await disk.close()
