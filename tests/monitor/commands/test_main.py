"""The command line as a person meets it: complete help, one line for what is wrong."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.commands import main
from monitor.commands.options import build
from tests.world.waiting import HANG_SECONDS

COMMANDS = (
    "up",
    "collect",
    "detect",
    "serve",
    "judge",
    "replay",
    "token",
    "probes",
    "catalogue",
    "rules",
    "schema",
    "db",
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["up", "--pace", "0"], "--pace: must be a whole number from 1"),
        (["up", "--http", "8080"], "--http: must be HOST:PORT"),
        (["up", "--public-url", "example.org"], "--public-url: must be an http://"),
        (["collect", "--broker", "example.org"], "--broker: must begin with mqtt://"),
        (["detect", "--broker", "mqtt://example.org:99999"], "--broker: not a URL: Port out of"),
        (["serve", "--broker", "mqtt://"], "--broker: names no host"),
        (["up", "--demo", "--demo-block", "x"], "--demo-block: expected SERVICE:ASN:TECHNIQUE"),
        (["up", "--catalogue", "/nowhere"], "/nowhere"),
        (["judge", "--probe", "/nowhere"], "/nowhere: No such file"),
        (["judge"], "--probe is missing"),
        (["replay", "/nowhere"], "/nowhere: No such file"),
        (["replay", "--from", "yesterday"], "--from: must be a time such as"),
        (["token", "new", "--expires", "soon"], "--expires: must be a duration"),
        (
            ["token", "new", "--expires", "3"],
            "--expires: must be with its unit: 3s (seconds), 3m (minutes), 3h (hours), 3d (days)",
        ),
        (["db", "prune", "--older-than", "90"], "--older-than: must be with its unit: 90s (sec"),
        (
            ["db", "prune", "--hours-older-than", "8d", "--yes"],
            "--hours-older-than: must be at least 9d",
        ),
        (["token", "list", "--database", "mysql://x"], "mysql"),
        (["rules", "--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["nonsense"], "no command 'nonsense' ("),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    if words[:1] in (["up"], ["token"], ["replay"], ["db"]):
        words = [*words, "--data", str(tmp_path)]
    interval = sys.getswitchinterval()
    try:
        assert main.main(words) == 2
    finally:  # what `up` does to its process
        sys.setswitchinterval(interval)
        gc.unfreeze()
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    # `head` closes the pipe after a line; the schema is longer than a pipe's buffer holds back.
    run = subprocess.run(
        f"{sys.executable} -m monitor.commands.main schema | head -n 1",
        shell=True, capture_output=True, text=True, check=False, timeout=HANG_SECONDS,
    )  # fmt: skip
    assert run.stdout == "{\n"
    assert run.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["explain", "0" * 16],
        ["export", "csv"],
        ["token", "list"],
        ["token", "revoke", "t"],
        ["probes", "list"],
        ["probes", "revoke", "p"],
        ["db", "size"],
        ["db", "prune"],
        ["db", "move", "--to", "sqlite+aiosqlite:///other"],
        ["archive"],
        ["import", "ooni", "TYPO.jsonl"],
    ],
    ids=" ".join,
)
def test_a_command_that_reads_creates_no_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (["--data", "TYPO"], ["--database", "sqlite+aiosqlite:///TYPO"]):
        assert main.main([*words, *place]) == 2
        line = capsys.readouterr().err
        assert "TYPO" in line
        assert line.count("\n") == 1
        assert not list(tmp_path.iterdir())


def test_a_misspelt_variable_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REACHWATCH_PUBLIC_ULR", "http://a")
    assert main.main(["schema"]) == 0
    assert capsys.readouterr().err == (
        "reachwatch: environment: REACHWATCH_PUBLIC_ULR: unknown option, ignored; did you mean "
        "REACHWATCH_PUBLIC_URL?\n"
    )


def test_the_variables_of_scripts_and_deployment_give_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[3]
    files = [root / "docker-compose.yml", root / "hatch_build.py"]
    for folder in ("deploy", "scripts"):
        files += [path for path in (root / folder).rglob("*") if path.is_file()]
    names: set[str] = set()
    for path in files:
        names.update(re.findall(rb"REACHWATCH_([A-Z_]*[A-Z])", path.read_bytes()))
    parser = build()
    given = {f"REACHWATCH_{name.decode()}": "1" for name in names}
    assert len(given) > 10
    assert list(parser.unknown_variables(given)) == []
