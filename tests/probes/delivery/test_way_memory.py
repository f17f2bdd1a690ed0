from __future__ import annotations

import io
from pathlib import Path

from msgspec.structs import replace

from probes.delivery.ladder import WayRecord
from probes.delivery.way_memory import FILE, MOST_NETWORKS, WayMemory
from probes.log import Log

WORKS = WayRecord(worked_ms=7)
FAILS = WayRecord(failures=1, since_ms=7, failed_ms=7, failure="connection_reset")


def test_each_network_has_its_own_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    log = Log(io.StringIO())
    memory = WayMemory(tmp_path, log)
    assert memory.records("RU/1", ("a", "b")) == [WayRecord(), WayRecord()]
    memory.change("RU/1", "a", lambda _: FAILS, ("a", "b"))
    memory.change("RU/1", "b", lambda _: WORKS, ("a", "b"))
    memory.change("FR/2", "a", lambda _: WORKS, ("a", "b"))
    for known in (memory, WayMemory(tmp_path, log)):
        assert known.records("RU/1", ("a", "b")) == [FAILS, WORKS]
        assert known.records("FR/2", ("b", "a")) == [WayRecord(), WORKS]


def test_a_failure_more_is_not_written_and_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    memory = WayMemory(tmp_path, Log(io.StringIO()))
    memory.change("RU/1", "a", lambda _: FAILS, ("a", "b"))
    written = (tmp_path / FILE).read_bytes()
    memory.change("RU/1", "a", lambda record: replace(record, failures=2), ("a", "b"))
    assert (tmp_path / FILE).read_bytes() == written
    memory.change("RU/1", "b", lambda _: WORKS, ("b",))
    assert memory.records("RU/1", ("a",)) == [WayRecord()]
    for number in range(2 * MOST_NETWORKS):
        memory.change(f"RU/{number + 2}", "b", lambda _: WORKS, ("b",))
    assert memory.records("RU/1", ("b",)) == [WayRecord()]


def test_a_damaged_file_and_a_full_disk_are_one_log_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    stream = io.StringIO()
    memory = WayMemory(tmp_path, Log(stream))
    assert "not remembered" in stream.getvalue()
    away = WayMemory(tmp_path / "nowhere", Log(stream))
    away.change("RU/1", "a", lambda _: WORKS, ("a",))
    assert "not saved" in stream.getvalue()
    assert away.records("RU/1", ("a",)) == [WORKS]
    assert WayMemory(None, Log(stream)).records("RU/1", ("a",)) == memory.records("RU/1", ("a",))
