"""Children are started again, end with their parent, and leave no zombie."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from monitor.local import children
from tests.world.waiting import eventually, wait_until


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_for(path: Path, lines: int) -> list[int]:
    def written() -> list[int]:
        found = path.read_text().split() if path.exists() else []
        return [int(word) for word in found] if len(found) >= lines else []

    return await eventually(written)


async def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = ["sh", "-c", f"echo $$ >> {pids}; exit 3"]
    keeper = asyncio.ensure_future(children.keep_running("x", command, tmp_path / "log"))
    assert len(set(await wait_for(pids, 2))) >= 2
    keeper.cancel()
    await asyncio.wait([keeper])


async def test_cancelling_ends_the_child(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = ["sh", "-c", f"echo $$ >> {pids}; exec sleep 60"]
    keeper = asyncio.ensure_future(children.keep_running("x", command, tmp_path / "log"))
    (pid,) = await wait_for(pids, 1)
    assert alive(pid)
    keeper.cancel()
    await asyncio.wait([keeper])
    assert not alive(pid)


async def test_run_once_gives_status_and_complaint() -> None:
    assert await children.run_once(["sh", "-c", "echo no >&2; exit 2"]) == (2, "no")


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = (
        "import asyncio, pathlib; from monitor.local.children import keep_running; "
        f"asyncio.run(keep_running('x', ['sh', '-c', 'echo $$ >> {pids}; exec sleep 60'], "
        f"pathlib.Path('{tmp_path}/log')))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: pids.exists() and pids.read_text().strip())
    pid = int(pids.read_text())
    assert alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(pid))
