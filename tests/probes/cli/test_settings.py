from pathlib import Path

import pytest

from probes.cli.options import COMMANDS, flag_of
from probes.cli.settings import SettingsError, default_state, read


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text('interval = 100\ncountry = "fr"\nasn = 1\nonly = ["signal", "wechat"]\n')
    environment = {"REACHPROBE_INTERVAL": "200", "REACHPROBE_ASN": "2"}
    given = read(["run", "--config", str(file), "--interval", "300"], environment)
    assert (given.interval, given.asn, given.country) == (300.0, 2, "FR")
    assert given.only == ("signal", "wechat")
    assert given.budget == 0.0
    assert given.command == "run"


def test_the_file_can_come_from_the_environment_and_empty_variables_count_as_unset(
    tmp_path: Path,
) -> None:
    file = tmp_path / "probe.toml"
    file.write_text("allow_private = true\nexcept = 'line,zalo'\nlast = 3\n")
    environment = {"REACHPROBE_CONFIG": str(file), "REACHPROBE_ALLOW_PRIVATE": ""}
    given = read(["run"], environment)
    assert given.allow_private is True
    assert given.except_ == ("line", "zalo")
    assert read(["run"], {"REACHPROBE_ALLOW_PRIVATE": "1"}).allow_private is True
    assert read(["show"], environment).last == 3


def test_lists_by_commas_and_by_repeating() -> None:
    given = read(["once", "--service", "a,b", "--service", "c"], {})
    assert given.service == ("a", "b", "c")
    assert read(["run"], {"REACHPROBE_BROKER": "mqtt://a,mqtt://b"}).broker == (
        "mqtt://a",
        "mqtt://b",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("intervall = 3", "intervall: unknown key"),
        ("interval = 'soon'", "interval: must be a number"),
        ("interval = [1, 2]", "interval: must be one value"),
        ("interval = {a = 1}", "interval: must be a string"),
        ("last = 0", "last: must be a whole number"),
        ("interval = ", "not TOML"),
        ("[run]\ninterval = 3", "run: unknown key"),
        ("interval = " + "[" * 100_000, "not TOML: nested too deeply"),
        ("interval = 1" + "0" * 5000, "not TOML: "),
        ("interval = 0x1" + "0" * 5000, "interval: must be a string"),
        ("interval = [0x1" + "0" * 5000 + "]", "interval: must be a string"),
    ],
)
def test_a_bad_file_names_itself_the_key_and_the_reason(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read(["run", "--config", str(file)], {})
    assert str(caught.value).startswith(str(file))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["run", "--interval", "x"], {}, "command line: --interval: must be a number"),
        (["run"], {"REACHPROBE_ASN": "x"}, "environment: REACHPROBE_ASN: must be an AS number"),
        (["run", "--bogus"], {}, "unrecognized arguments: --bogus"),
        (["run", "--inter", "5"], {}, "unrecognized arguments"),
        (["fly"], {}, "invalid choice: 'fly'"),
        ([], {}, "COMMAND"),
        (["join"], {}, "TOKEN is missing"),
        (["geo", "update"], {}, "--from is missing"),
        (["run", "--config", "/nowhere.toml"], {}, "/nowhere.toml: No such file"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(arguments, environment)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_strange_variables_warn_and_do_not_stop() -> None:
    given = read(["run"], {"REACHPROBE_PORT": "tcp://10.0.0.1:80"})
    assert given.warnings == ("environment: REACHPROBE_PORT: unknown option, ignored",)


def test_the_state_directory() -> None:
    assert default_state({"XDG_STATE_HOME": "/x"}) == Path("/x/reachprobe")
    assert read(["status"], {"REACHPROBE_STATE": "/y"}).state == Path("/y")
    assert read(["join", "T"], {}).token == "T"
    assert read(["join"], {"REACHPROBE_TOKEN": "T"}).token == "T"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_names_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read([*command.split(), "--help"], {})
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in COMMANDS[command].options:
        assert flag_of(option) in text
