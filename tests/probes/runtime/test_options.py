"""Command line beats environment beats file beats default; an error is one line with its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probes.runtime.options import (
    OptionError,
    Parser,
    asn,
    authority,
    country,
    duration,
    host_port,
    http_url,
    ip_address,
    moment,
    number,
    one_of,
    path,
    positive,
    truth,
)


def parser() -> Parser:
    top = Parser(prog="x", prefix="X_")
    run = top.command("run", "run it")
    run.option("--interval SECONDS", "how long", read=number(1), default="300")
    run.option("--only ONLY", "only these", many=True)
    run.option("--from FROM", "a file, 100% of it", read=path)
    run.option("--allow-private", "allow")
    show = top.command("show", "show it")
    show.option("--last LAST", "how many", read=positive, default="20")
    show.option("--to TO", "a number", read=positive)
    table = top.group("geo", "tables").command("update", "read one")
    table.option("--from FROM", "table", read=path, required=True)
    table.option("--to TO", "a word", read=one_of("here", "there"), default="")
    top.command("join", "join").option("token", "a token", required=True)
    return top


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('interval = 100\nonly = ["a", "b,c"]\nallow_private = true\n')
    environment = {"X_CONFIG": str(file), "X_INTERVAL": "200", "X_ONLY": ""}
    read = parser().read
    assert read(["run", "--interval", "250"], environment).interval == 250.0
    assert read(["run"], environment).interval == 200.0
    given = read(["run", "--config", str(file)], {})
    assert (given.interval, given.only, given.allow_private) == (100.0, ("a", "b", "c"), True)
    given = read(["run"], {})
    assert (given.interval, given.only, given.allow_private, given.from_) == (300, (), False, None)
    assert read(["run"], environment).only == ("a", "b", "c"), "an empty variable is not set"


def test_the_command_is_its_path() -> None:
    assert parser().read(["run"], {}).command == "run"
    assert parser().read(["geo", "update", "--from", "a"], {}).command == "geo update"


def test_lists_by_commas_and_by_repeating() -> None:
    assert parser().read(["run", "--only", "a, b", "--only", "c,"], {}).only == ("a", "b", "c")
    assert parser().read(["run"], {"X_ONLY": "a,b"}).only == ("a", "b")


def test_required_options_may_come_from_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("token = 't'\n")
    assert parser().read(["join", "a"], {}).token == "a"
    assert parser().read(["join"], {"X_TOKEN": "b"}).token == "b"
    assert parser().read(["join", "--config", str(file)], {}).token == "t"
    assert parser().read(["geo", "update"], {"X_FROM": "~/c"}).from_ == Path("~/c").expanduser()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("intervall = 3", "intervall: unknown key"),
        ("interval = 'soon'", "interval: must be a number"),
        ("interval = [1, 2]", "interval: must be one value"),
        ("interval = {a = 1}", "interval: must be a string"),
        ("allow_private = 'maybe'", "allow_private: must be true or false"),
        ("last = 0", "last: must be a whole number"),
        ("to = 'nowhere'", "to: must be a whole number"),
        ("interval = ", "not TOML"),
        ("[run]\ninterval = 3", "run: must be a string"),
        ("interval = " + "[" * 100_000, "not TOML: nested too deeply"),
        ("interval = 1" + "0" * 5000, "not TOML: "),
        ("interval = 0x1" + "0" * 5000, "interval: must be a string"),
        ("interval = [0x1" + "0" * 5000 + "]", "interval: must be a string"),
    ],
)
def test_an_error_in_a_file_names_file_key_and_reason(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(OptionError) as caught:
        parser().read(["run", "--config", str(file)], {})
    assert str(caught.value).startswith(f"{file}: {words}")
    assert "\n" not in str(caught.value)


def test_a_key_that_two_commands_read_differently_is_right_for_one(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("to = 'there'\n")
    assert parser().read(["run", "--config", str(file)], {}).command == "run"
    with pytest.raises(OptionError, match="to: must be a whole number"):
        parser().read(["show", "--config", str(file)], {})


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["run", "--interval", "x"], {}, "command line: --interval: must be a number"),
        (["run", "--only", ","], {}, "command line: --only: names nothing"),
        (["run", "--only="], {}, "command line: --only: names nothing"),
        (["run"], {"X_ONLY": " , "}, "environment: X_ONLY: names nothing"),
        (["run"], {"X_INTERVAL": "0"}, "environment: X_INTERVAL: must be from 1 to"),
        (["run"], {"X_ALLOW_PRIVATE": "maybe"}, "environment: X_ALLOW_PRIVATE: must be true"),
        (["run", "--bogus"], {}, "command line: unrecognized arguments: --bogus"),
        (["run", "--inter", "5"], {}, "command line: unrecognized arguments"),
        (["fly"], {}, "command line: no command 'fly' ("),
        (["rnu"], {}, "command line: no command 'rnu'; did you mean run? ("),
        (["run", "--intervall=5"], {}, "unrecognized arguments: --intervall=5; did you mean --int"),
        ([], {}, "COMMAND"),
        (["geo"], {}, "COMMAND"),
        (["join"], {}, "command line: TOKEN is missing"),
        (["geo", "update"], {}, "command line: --from is missing"),
        (["run", "--config=/nowhere.toml"], {}, "/nowhere.toml: No such file"),
    ],
)
def test_an_error_is_one_line_with_its_place(
    arguments: list[str], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(OptionError) as caught:
        parser().read(arguments, environment)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_hint_names_an_option_of_this_command() -> None:
    with pytest.raises(OptionError, match=r"--form 1; did you mean --from\?$"):
        parser().read(["run", "--form", "1"], {})
    with pytest.raises(OptionError, match=r"--httb$"):
        parser().read(["run", "--httb"], {})


def test_unknown_variables_are_named_with_the_nearest_option() -> None:
    environment = {"X_INTERVALL": "9", "X_ZZZZ": "1", "X_TOKEN": "t", "X_CONFIG": "c", "OTHER": "1"}
    assert list(parser().unknown_variables(environment)) == [
        "environment: X_INTERVALL: unknown option, ignored; did you mean X_INTERVAL?",
        "environment: X_ZZZZ: unknown option, ignored",
    ]


def test_variables_of_kubernetes_and_of_scripts_are_expected() -> None:
    environment = dict.fromkeys(
        ("X_PORT", "X_SERVICE_HOST", "X_SERVICE_PORT_HTTP", "X_PORT_80_TCP_ADDR", "X_IMAGE"), "1"
    )
    known = parser()
    known.others = frozenset({"IMAGE"})
    assert list(known.unknown_variables(environment)) == []


def test_help_shows_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().read(["run", "--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    assert "--interval SECONDS how long (default: 300)" in text
    assert "--from FROM a file, 100% of it" in text
    assert "--allow-private allow" in text


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (country, "fr", "FR"),
        (asn, "AS64501", 64501),
        (ip_address, "[::1]", "::1"),
        (host_port, "[::1]:80", ("::1", 80)),
        (host_port, "localhost:0", ("localhost", 0)),
        (lambda text: host_port(text, 53), "9.9.9.9", ("9.9.9.9", 53)),
        (lambda text: host_port(text, 53), "2620:fe::fe", ("2620:fe::fe", 53)),
        (lambda text: host_port(text, 53), "[2620:fe::fe]:54", ("2620:fe::fe", 54)),
        (number(0.1), "0.5", 0.5),
        (positive, "7", 7),
        (one_of("a", "b"), "b", "b"),
        (http_url, "https://a.example/x?y=1", "https://a.example/x?y=1"),
        (duration, "90s", 90),
        (duration, "15m", 900),
        (duration, "7d", 604_800),
        (moment, "1970-01-02", 86_400_000),
        (moment, "2026-05-04T10:10:00+02:00", 1_777_882_200_000),
    ],
)
def test_good_values(read: Callable[[str], Any], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (country, ["FRA", "1!", "é1"]),
        (asn, ["-1", "4294967296", "٣", "x"]),
        (ip_address, ["example.org", ""]),
        (host_port, ["9090", ":80", "a:x", "a:99999", "9.9.9.9"]),
        (number(0.1), ["0", "nan", "1e11", "inf", "soon"]),
        (positive, ["0", "1.5", "-1", "٣"]),
        (one_of("a", "b"), ["c", "", "A"]),
        (http_url, ["ftp://a", "http://a b", 'http://a"', "http://é.example"]),
        (duration, ["", "0", "90", "3", "0d", "1y", "-3h", "٣d", "3D", "3 d"]),
        (moment, ["yesterday", ""]),
        (truth, ["maybe", ""]),
    ],
)
def test_bad_values_have_a_reason(read: Callable[[str], Any], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError, match="must be"):
            read(text)


def test_truth() -> None:
    assert [truth(word) for word in ("1", "TRUE", "yes", "0", "off")] == [True] * 3 + [False] * 2


def test_the_port_is_written_unless_it_is_the_usual_one() -> None:
    assert authority("a.test", 443, 443) == "a.test"
    assert authority("a.test", 8443, 443) == "a.test:8443"
    assert host_port(authority("2001:db8::1", 443)) == ("2001:db8::1", 443)
