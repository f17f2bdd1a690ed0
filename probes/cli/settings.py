# SPDX-License-Identifier: Apache-2.0
"""Every option of `reachprobe`, from command line, environment and file, in that order.

`probes.cli.options` says what exists; argparse, the environment (`REACHPROBE_<NAME>`) and the TOML
file (keys with underscores) are three ways to fill it. Each value arrives as text and goes through
one parser, so a bad value gives the same reason wherever it came from. What an option means is not
known here."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

import probes
from probes.cli.options import COMMANDS, OPTIONS, Option, flag, flag_of, key_of

ENVIRONMENT_PREFIX = "REACHPROBE_"


class SettingsError(Exception):
    """A bad option. The text is one line: where it came from, which key, and why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All options, with their defaults; each command uses some of them."""

    command: str = ""
    warnings: tuple[str, ...] = ()
    """One line each, for stderr: settings that were ignored."""
    token: str = ""
    state: Path = Path()
    catalogue: Path | None = None
    service: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    json: bool = False
    country: str = ""
    asn: int | None = None
    role: str = "vantage"
    bind: str = ""
    resolver: str = ""
    """`address:port`; empty for the nameservers of resolv.conf."""
    allow_private: bool = False
    broker: tuple[str, ...] = ()
    interval: float = 300.0
    """Seconds."""
    accept_risks: str = ""
    budget: float = 0.0
    """Megabytes a month; 0 for no limit."""
    only: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()
    metrics: str = ""
    """`host:port`; empty for none."""
    spool_limit: float = 50.0
    """Megabytes."""
    check: bool = False
    last: int = 20
    listen: str = "127.0.0.1:8443"
    certificate: Path | None = None
    key: Path | None = None
    from_: Path | None = None


class _Parser(argparse.ArgumentParser):
    """argparse, with one line in place of the usage on errors."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise SettingsError(f"command line: {message}")


def _parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="reachprobe",
        description="Measure whether messaging services are reachable from this network.",
        epilog="Every option can also be set by REACHPROBE_<OPTION> in the environment and by "
        "a TOML file (--config FILE or REACHPROBE_CONFIG), with underscores for dashes. "
        "The command line beats the environment, which beats the file.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"reachprobe {probes.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    geo: Any = None
    for name, command in COMMANDS.items():
        group, _, leaf = name.rpartition(" ")
        if group and geo is None:
            branch = commands.add_parser(group, help="offline tables", allow_abbrev=False)
            geo = branch.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
        parser = (geo if group else commands).add_parser(
            leaf, help=command.help, description=command.help, allow_abbrev=False
        )
        if command.positional:
            parser.add_argument(command.positional, nargs="?", metavar=command.positional.upper())
        parser.add_argument("--config", metavar="FILE", help="TOML file with the same options")
        for option in command.options:
            _add(parser, option)
    return top


def _add(parser: argparse.ArgumentParser, name: str) -> None:
    option = OPTIONS[name]
    if option.parse is flag:
        parser.add_argument(
            flag_of(name), dest=name, action="store_const", const="true", help=option.help
        )
    else:
        parser.add_argument(
            flag_of(name),
            dest=name,
            metavar=option.metavar,
            action="append" if option.many else "store",
            help=option.help,
        )


def _value(source: str, key: str, option: Option, raw: str | Sequence[str]) -> Any:
    texts = [raw] if isinstance(raw, str) else list(raw)
    try:
        if option.many:
            parts = [part.strip() for text in texts for part in text.split(",")]
            return tuple(option.parse(part) for part in parts if part)
        return option.parse(texts[0])
    except ValueError as error:
        raise SettingsError(f"{source}: {key}: {error}") from None


def _from_file(path: Path) -> dict[str, str | list[str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    except RecursionError:
        raise SettingsError(f"{path}: not TOML: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, numbers without end
        raise SettingsError(f"{path}: not TOML: {error}") from None
    names = {key_of(name): name for name in OPTIONS} | {"token": "token"}
    found: dict[str, str | list[str]] = {}
    for key, value in document.items():
        if key not in names:
            raise SettingsError(f"{path}: {key}: unknown key")
        if isinstance(value, list) and all(_is_plain(item) for item in value):
            if not (key in names and names[key] in OPTIONS and OPTIONS[names[key]].many):
                raise SettingsError(f"{path}: {key}: must be one value, not a list")
            found[names[key]] = [_text(item) for item in value]
        elif _is_plain(value):
            found[names[key]] = _text(value)
        else:
            raise SettingsError(f"{path}: {key}: must be a string, number, boolean or list")
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, int) and value.bit_length() > 64:
        return False  # Python would not write down one of thousands of digits
    return isinstance(value, str | int | float)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def default_state(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/reachprobe`, by default `~/.local/state/reachprobe`."""
    base = environment.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "reachprobe"


def read(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of one call. Raises SettingsError; `--help` exits as argparse does."""
    environment = os.environ if environment is None else environment
    given = vars(_parser().parse_args(arguments))
    name = given["command"]
    if "subcommand" in given:
        name = f"{name} {given['subcommand']}"
    command = COMMANDS[name]
    values: dict[str, Any] = {}
    # A variable set to nothing is one that a compose file left empty.
    config = given["config"] or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    stored = _from_file(Path(config).expanduser()) if config else {}
    # Every key of the file is parsed, also those of other commands: a typo shows at once.
    for key, raw in stored.items():
        values[key] = _value(str(config), key_of(key), OPTIONS[key], raw) if key in OPTIONS else raw
    for option in command.options:
        variable = ENVIRONMENT_PREFIX + key_of(option).upper()
        if given[option] is not None:
            source, key, text = "command line", flag_of(option), given[option]
        elif environment.get(variable):
            source, key, text = "environment", variable, environment[variable]
        else:
            continue
        values[option] = _value(source, key, OPTIONS[option], text)
    if command.positional:
        variable = ENVIRONMENT_PREFIX + command.positional.upper()
        text = given[command.positional] or environment.get(variable)
        if text:
            values[command.positional] = text
        if not values.get(command.positional):
            raise SettingsError(f"command line: {command.positional.upper()} is missing")
    if "from_" in command.options and "from_" not in values:
        raise SettingsError("command line: --from is missing")
    wanted = {*command.options, command.positional}
    kept = {key: value for key, value in values.items() if key in wanted}
    kept.setdefault("state", default_state(environment))
    return Settings(command=name, warnings=tuple(_strangers(environment)), **kept)


def _strangers(environment: Mapping[str, str]) -> Iterable[str]:
    """Unknown variables are ignored with a warning: Kubernetes sets some of its own for every
    service it knows (`REACHPROBE_PORT`), so they must not stop a probe."""
    known = {key_of(name).upper() for name in OPTIONS} | {"CONFIG", "TOKEN"}
    for variable in sorted(environment):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable[len(ENVIRONMENT_PREFIX) :] not in (
            known
        ):
            yield f"environment: {variable}: unknown option, ignored"
