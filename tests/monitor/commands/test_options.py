"""Command line beats environment beats file; every complaint is one line that names the place."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from monitor.commands import options
from monitor.commands.options import (
    OptionError,
    Parser,
    duration,
    host_port,
    moment,
    parse,
    positive,
)


def parser() -> Parser:
    top = Parser(prog="x")
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    up = commands.add_parser("up")
    up.add_argument("--config")
    up.add_argument("--pace", type=positive, default=1)
    up.add_argument("--http", type=host_port, default=("127.0.0.1", 1))
    up.add_argument("--demo", action="store_true")
    return top


def test_precedence(tmp_path: Path) -> None:
    config = tmp_path / "x.toml"
    config.write_text("pace = 2\nhttp = '127.0.0.1:8'\ndemo = true\n")
    environment = {"REACHWATCH_PACE": "3", "REACHWATCH_CONFIG": str(config)}
    assert parse(parser(), ["up"], {}).pace == 1
    assert parse(parser(), ["up", "--config", str(config)], {}).pace == 2
    given = parse(parser(), ["up"], environment)
    assert (given.pace, given.http, given.demo) == (3, ("127.0.0.1", 8), True)
    assert parse(parser(), ["up", "--pace", "4"], environment).pace == 4


@pytest.mark.parametrize(
    ("arguments", "environment", "text", "said"),
    [
        (["up", "--pace", "x"], {}, "", "command line: argument --pace: must be a whole number"),
        (["up", "--wrong"], {}, "", "command line: unrecognized arguments: --wrong"),
        ([], {}, "", "command line: the following arguments are required: command"),
        (["up"], {"REACHWATCH_PACE": "0"}, "", "environment: REACHWATCH_PACE: must be a whole"),
        (["up"], {"REACHWATCH_DEMO": "maybe"}, "", "environment: REACHWATCH_DEMO: must be true"),
        (["up"], {}, "pace = 'x'", ": pace: must be a whole number"),
        (["up"], {}, "pase = 1", ": pase: unknown key"),
        (["up"], {}, "pace = [1]", ": pace: must be one value"),
        (["up"], {}, "pace = ", ": not TOML: "),
    ],
)
def test_one_line_that_names_the_place(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], text: str, said: str
) -> None:
    config = tmp_path / "x.toml"
    config.write_text(text)
    if text:
        environment = {**environment, "REACHWATCH_CONFIG": str(config)}
    with pytest.raises(OptionError) as caught:
        parse(parser(), arguments, environment)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(OptionError, match="/nowhere: No such file"):
        parse(parser(), ["up", "--config=/nowhere"], {})


def test_durations_and_moments() -> None:
    assert [duration(text) for text in ("90", "90s", "15m", "24h", "7d")] == [
        90, 90, 900, 86400, 604800,
    ]  # fmt: skip
    assert moment("2026-05-04T08:10:00Z") == moment("2026-05-04T10:10:00+02:00")
    assert moment("1970-01-02") == 86_400_000
    for bad in ("", "0", "1y", "-3h"):
        with pytest.raises(argparse.ArgumentTypeError):
            duration(bad)
    with pytest.raises(argparse.ArgumentTypeError):
        moment("yesterday")
    assert host_port("[::1]:80") == ("::1", 80)
    with pytest.raises(argparse.ArgumentTypeError):
        options.host_port("80")
