"""A plugin of pytest: the files of a run in several processes, forked when all is collected.

    pytest -p tests.lanes --lanes 6

Each lane takes the next file when it has ended one, so a file's tests share its fixtures and a long
file keeps no other waiting. Session fixtures are per lane. Tests marked `alone` follow in one more
lane when all the others have ended. pytest-xdist collects in every worker (6 s each, 20 s where
nothing is compiled yet) and gives a worker its second file before it has ended the first, however
long that takes.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import multiprocessing.util
import os
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import pytest

NUMBER_BYTES = 2
"""Of a file's number in the queue."""
PIPE_BYTES = 65_536
"""What a pipe of Linux takes before anybody reads."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent has ended, however that was."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lanes", type=int, default=0, help="run files in so many processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run everything in lanes and report it here; without `--lanes` leave it to pytest."""
    count = session.config.getoption("--lanes")
    if not count or session.testsfailed or session.config.getoption("--collect-only"):
        return None
    files: dict[Path, list[pytest.Item]] = {}
    alone = []
    for item in session.items:
        if item.get_closest_marker("alone"):
            alone.append(item)
        else:
            files.setdefault(item.path, []).append(item)
    # Made here, since whoever makes it first removes what was there.
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    # A tenth of all time went into looking through what stays until the end, another twentieth
    # into looking through the rest at every 700 new objects.
    gc.freeze()
    gc.set_threshold(10_000)
    _run(session, list(files.values()), count)
    _run(session, [alone] if alone else [], 1)
    return True


def _run(session: pytest.Session, groups: Sequence[Sequence[pytest.Item]], count: int) -> None:
    """Run groups of tests in so many lanes, each group in one, and report it here."""
    queue, feed = os.pipe()
    numbers = b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in range(len(groups)))
    assert len(numbers) <= PIPE_BYTES
    os.write(feed, numbers)
    os.close(feed)
    lanes: dict[Connection, int] = {}
    try:
        for _ in range(min(count, len(groups))):
            mine, its = Pipe(duplex=False)
            if not (pid := os.fork()):
                _live(session, groups, queue, its)
            its.close()
            lanes[mine] = pid
        _report(session, lanes)
    finally:
        os.close(queue)
        for pid in lanes.values():
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _report(session: pytest.Session, lanes: dict[Connection, int]) -> None:
    """Report what the lanes say, until all have ended; name what failed at once, since why is told
    at the end only. Ends the run as an interrupted one when one died: not all tests were run."""
    hook = session.config.hook
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    running: dict[Connection, str] = {}
    died = []
    while lanes:
        for lane in wait(list(lanes)):
            assert isinstance(lane, Connection)
            try:
                said = lane.recv()
            except EOFError:
                status = os.waitstatus_to_exitcode(os.waitpid(lanes.pop(lane), 0)[1])
                if status:
                    died.append(f"a lane ended with {status} in {running.get(lane)}")
                continue
            if isinstance(said, str):
                running[lane] = said
            else:
                report = hook.pytest_report_from_serializable(config=session.config, data=said)
                hook.pytest_runtest_logreport(report=report)
                if report.failed:
                    terminal.write_line(f" {report.nodeid}")
    if died:
        pytest.exit("; ".join(died), returncode=pytest.ExitCode.INTERRUPTED)


class _Sender:
    """Sends the name of a test that begins, its reports, and what breaks the lane."""

    def __init__(self, config: pytest.Config, out: Connection) -> None:
        self._config, self._out = config, out

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._out.send(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data: dict[str, Any] = self._config.hook.pytest_report_to_serializable(
            config=self._config, report=report
        )
        self._out.send(data)


def _live(
    session: pytest.Session, groups: Sequence[Sequence[pytest.Item]], queue: int, out: Connection
) -> None:
    """What a lane does after the fork. Never returns."""
    config = session.config
    status = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        capture = config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()  # its files are the same in all lanes
        capture.start_global_capturing()
        with open(os.devnull, "w") as nowhere:
            config.get_terminal_writer()._file = nowhere
            config.pluginmanager.register(_Sender(config, out))
            while number := os.read(queue, NUMBER_BYTES):
                items = groups[int.from_bytes(number, "big")]
                # After the last one everything below the session is torn down.
                for item, following in itertools.zip_longest(items, items[1:], fillvalue=session):
                    config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            # The directories of all lanes are cleaned up by the run itself, once: two at the same
            # time remove the same links.
            finish = config.pluginmanager.subset_hook_caller(
                "pytest_sessionfinish", [config.pluginmanager.getplugin("tmpdir")]
            )
            finish(session=session, exitstatus=pytest.ExitCode.OK)
        status = 0
    except BaseException:
        out.send(f"its own end: {traceback.format_exc()}")
    finally:
        # Which an exit would do: ends what multiprocessing has started, and removes its directory.
        multiprocessing.util._exit_function()  # type: ignore[attr-defined]
        os._exit(status)
