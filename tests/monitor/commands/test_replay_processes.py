from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.commands import replay
from monitor.commands.replay import FOREVER, fold_in_processes, fold_store, lines
from monitor.commands.replay_processes import ProgressBar, in_processes, shares
from monitor.detection.fingerprints import OWN
from monitor.detection.policy import Policy
from monitor.store.database import open_database
from tests.monitor.commands.parts import count, die, fail
from tests.monitor.fleet import PEOPLE, admitted, from_round, rounds
from tests.world.waiting import eventually


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_shares_are_even_and_complete(parts: int) -> None:
    sizes = {"a": 9, "b": 5, "c": 4, "d": 1, "e": 1}
    found = shares(sizes, parts)
    assert sorted(name for part in found for name in part) == sorted(sizes)
    assert len(found) == min(parts, len(sizes))
    assert max(sum(sizes[name] for name in part) for part in found) <= max(9, 20 // parts + 1)
    assert shares({}, 2) == []


async def test_results_are_in_order_and_progress_is_the_sum() -> None:
    seen: list[tuple[int, int]] = []
    work = in_processes(count, [["a"], ["b", "c"]], lambda *how: seen.append(how))
    assert await work == ["a", "b+c"]
    assert seen
    assert all(done <= total <= 6 for done, total in seen)


async def test_what_fails_there_is_raised_here() -> None:
    with pytest.raises(ValueError, match="no such service: b"):
        await in_processes(fail, [["a"], ["b"]], lambda *how: None)
    with pytest.raises(RuntimeError, match="ended"):
        await in_processes(die, [["a"]], lambda *how: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_they_end_with_the_one_that_started_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    program = (
        "import asyncio\n"
        "from functools import partial\n"
        "from monitor.commands.replay_processes import in_processes\n"
        "from tests.monitor.commands.parts import go_on\n"
        "if __name__ == '__main__':\n"
        f"    work = partial(go_on, {str(tmp_path)!r})\n"
        "    asyncio.run(in_processes(work, [['a'], ['b']], print))\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await eventually(lambda: len(list(tmp_path.glob("[ab].*"))) == 2, "both work")
        workers = [int(each.suffix[1:]) for each in tmp_path.glob("[ab].*")]
    finally:
        process.send_signal(number)
        process.wait()

    def gone(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state == "Z"

    await eventually(lambda: all(map(gone, workers)), "the workers end")


def test_a_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr("monitor.commands.replay_processes.SHOW_SECONDS", 0)
    for out in (plain, terminal):
        bar = ProgressBar(out)
        bar.show(0, 0)
        bar.show(0, 400)
        bar.show(100, 400)
        bar.end()
    assert plain.getvalue() == ""
    assert "25 % of 400 measurements" in terminal.getvalue()
    last = terminal.getvalue().rpartition("\r\x1b[K")[2]
    assert re.fullmatch(r"100 measurements in [\d.]+ s, [\d,]+ a second\n", last)


async def test_several_processes_find_what_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    database = await open_database(url)
    for name in ("s1/chat", "s2/chat", "s3/chat"):
        await database.facts.add(admitted(rounds(range(12), from_round(4), target=name)), ())
    monkeypatch.setattr(replay, "LARGE_STORE", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("monitor.commands.replay_processes.SHOW_SECONDS", 0)
    err = Terminal()
    together = await fold_in_processes(url, None, err, database, FOREVER, Policy(), OWN)
    alone = await fold_store(database, FOREVER, Policy())
    assert lines(together.events) == lines(alone.events) != b""
    assert sorted(together.coverage) == sorted(alone.coverage)
    measured = 3 * 12 * len(PEOPLE)
    assert f"\r\x1b[K{measured} measurements in " in err.getvalue()
    await database.close()
