import io
import subprocess
import sys
from pathlib import Path

import pytest

from probes.cli.stdout_report import LATEST, StdoutReport
from probes.delivery.spool import Spool
from probes.log import Log
from tests.probes.delivery.test_spool import PROBE, ROOT, draft


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_prints_the_id_and_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    program, person = io.StringIO(), Terminal()
    for stream in (program, person):
        monkeypatch.setattr(sys, "stdout", stream)
        StdoutReport(Log(io.StringIO()))(draft())
    assert program.getvalue() == f'{{"event": "taken", "id": "{"0" * 32}"}}\n'
    assert person.getvalue() == ""


async def test_the_latest_measurements_are_reported_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(tmp_path, PROBE)
    stored = [await spool.put(draft()) for _ in range(3)]
    await spool.close()
    StdoutReport(Log(io.StringIO())).report_latest(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [one.id in line for one, line in zip(stored, lines, strict=True) if one] == [True] * 3
    StdoutReport(Log(io.StringIO())).report_latest(tmp_path / "nothing")
    assert capsys.readouterr().out == ""
    assert LATEST >= 3


def test_a_closed_stdout_does_not_end_the_probe() -> None:
    script = (
        "import sys\n"
        "from probes.log import Log\n"
        "from probes.cli.stdout_report import StdoutReport\n"
        "from tests.probes.delivery.test_spool import draft\n"
        "report = StdoutReport(Log())\n"
        "sys.stdin.read()\n"
        "report(draft()); report(draft())\n"
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
    assert words.count("stdout was closed: measuring continues") == 1
    assert words.rstrip().endswith("still here")
