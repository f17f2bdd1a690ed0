"""Directories and secrets: made with the right mode, refused with one line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from monitor.paths import (
    data_directory,
    database_url,
    ensure_secret,
    existing_database_url,
    read_secret,
)
from probes.runtime.options import OptionError


def given(data: Path | None = None, database: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(data=data, database=database)


def test_the_data_directory_is_ours_alone(tmp_path: Path) -> None:
    path = data_directory(given(tmp_path / "a" / "b"))
    assert path.stat().st_mode & 0o777 == 0o700
    assert database_url(given(path)) == f"sqlite+aiosqlite:///{path}/reachwatch.db"
    assert database_url(given(path, "postgresql+asyncpg://h/d")) == "postgresql+asyncpg://h/d"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"--data: .*file/x: Not a directory"):
        data_directory(given(tmp_path / "file" / "x"))


def test_who_only_reads_makes_no_store(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OptionError, match=r"nowhere/reachwatch.db: no store there; set --data or"):
        existing_database_url(given(nowhere))
    assert not nowhere.exists()
    assert existing_database_url(given(nowhere, "postgresql+asyncpg://h/d")).endswith("h/d")
    nowhere.mkdir()
    (nowhere / "reachwatch.db").write_bytes(b"")
    assert existing_database_url(given(nowhere)) == database_url(given(nowhere))


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = ensure_secret(path)
    assert len(first) > 30
    assert ensure_secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(OptionError, match="others may read it; chmod 600"):
        read_secret(path)
    path.chmod(0o600)
    path.write_text(" \n")
    with pytest.raises(OptionError, match="is empty"):
        read_secret(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="not text"):
        read_secret(path)
    with pytest.raises(OptionError, match="No such file"):
        read_secret(tmp_path / "none")
