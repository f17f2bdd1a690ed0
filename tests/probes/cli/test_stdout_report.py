import io
import subprocess
import sys
from pathlib import Path

import pytest

from probes.cli.stdout_report import SAID_AGAIN, Taken
from probes.delivery.spool import Spool
from probes.log import Log
from tests.probes.delivery.test_spool import PROBE, ROOT, draft


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_says_the_id_and_nothing_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    program, person = io.StringIO(), Terminal()
    for stream in (program, person):
        monkeypatch.setattr(sys, "stdout", stream)
        Taken(Log(io.StringIO()))(draft())
    assert program.getvalue() == f'{{"event": "taken", "id": "{"0" * 32}"}}\n'
    assert person.getvalue() == ""


async def test_what_was_taken_last_is_said_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(tmp_path, PROBE)
    stored = [await spool.put(draft()) for _ in range(3)]
    await spool.close()
    Taken(Log(io.StringIO())).say_again(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert [one.id in line for one, line in zip(stored, said, strict=True) if one] == [True] * 3
    Taken(Log(io.StringIO())).say_again(tmp_path / "nothing")
    assert capsys.readouterr().out == ""
    assert SAID_AGAIN >= 3


def test_a_reader_that_goes_ends_nothing() -> None:
    script = (
        "import sys\n"
        "from probes.log import Log\n"
        "from probes.cli.stdout_report import Taken\n"
        "from tests.probes.delivery.test_spool import draft\n"
        "taken = Taken(Log())\n"
        "sys.stdin.read()\n"
        "taken(draft()); taken(draft())\n"
        "print('still here', file=sys.stderr)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()
        words = process.stderr.read()
    assert process.returncode == 0
    assert words.count("stdout is closed, measuring goes on") == 1
    assert words.rstrip().endswith("still here")
