"""The command line as a person meets it: complete help, one line for what is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.commands import main

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


def reachwatch(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.commands.main", *words],
        input=text, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


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
        (["up", "--demo", "--demo-block", "x"], "--demo-block: expected SERVICE:ASN:TECHNIQUE"),
        (["up", "--catalogue", "/nowhere"], "/nowhere"),
        (["judge", "--probe", "/nowhere"], "/nowhere: No such file"),
        (["judge"], "--probe is missing"),
        (["replay", "/nowhere"], "/nowhere: No such file"),
        (["replay", "--from", "yesterday"], "--from: must be a time such as"),
        (["token", "new", "--expires", "soon"], "--expires: must be a duration"),
        (["token", "list", "--database", "mysql://x"], "mysql"),
        (["rules", "--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["nonsense"], "invalid choice: 'nonsense'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, words: list[str], said: str) -> None:
    if words[:1] in (["up"], ["token"], ["replay"]):
        words = [*words, "--data", str(tmp_path)] if words[0] != "nonsense" else words
    run = reachwatch(*words)
    assert run.returncode == 2, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stderr.count("\n") == 1
    assert run.stdout == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    # `head` closes the pipe after a line; the schema is longer than a pipe's buffer holds back.
    run = subprocess.run(
        f"{sys.executable} -m monitor.commands.main schema | head -n 1",
        shell=True, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.stdout == "{\n"
    assert run.stderr == ""


def test_a_taken_port_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for demo in ([], ["--demo"]):
            data = tmp_path / "data"
            run = reachwatch("up", *demo, "--http", address, "--data", str(data))
            assert run.returncode == 2
            assert run.stderr == f"reachwatch: --http: {address}: Address already in use\n"
            assert not data.exists()


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACHWATCH_PUBLIK_URL", "https://x.example")
    run = reachwatch("schema")
    assert run.returncode == 0
    assert (
        "REACHWATCH_PUBLIK_URL: unknown option, ignored; did you mean REACHWATCH_PUBLIC_URL?"
        in (run.stderr)
    )


@pytest.mark.parametrize(
    "words", [("db", "size"), ("db", "prune"), ("token", "list"), ("probes", "list")]
)
def test_a_slip_in_the_data_directory_creates_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    slip = tmp_path / "typo"
    run = reachwatch(*words, "--data", str(slip))
    assert run.returncode == 2
    assert "no store there" in run.stderr
    assert not slip.exists()
