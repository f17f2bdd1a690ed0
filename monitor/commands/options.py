# SPDX-License-Identifier: Apache-2.0
"""How options of `reachwatch` are filled: command line beats environment beats TOML file.

argparse knows the options; this module adds the two other sources, in front of its defaults,
so that a bad value gives the same reason wherever it came from, on one line that names the
place. What an option means is not known here.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "REACHWATCH_"


class OptionError(Exception):
    """A bad option. The text is one line: where it came from, which key, and why."""


class Parser(argparse.ArgumentParser):
    """argparse, with one line in place of the usage on errors, and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise OptionError(f"command line: {message}")


def parse(
    parser: Parser,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> argparse.Namespace:
    """Return the options of one call. Raises OptionError; `--help` exits as argparse does."""
    environment = os.environ if environment is None else environment
    config = _config(arguments) or environment.get(f"{PREFIX}CONFIG", "")
    stored = _from_file(Path(config).expanduser()) if config else {}
    leaves = list(_leaves(parser))
    known = {action.dest for leaf in leaves for action in leaf._actions}
    for key in stored:
        if key not in known:
            raise OptionError(f"{config}: {key}: unknown key")
    for leaf in leaves:
        for action in leaf._actions:
            if not action.option_strings or action.dest in ("help", "config"):
                continue
            variable = PREFIX + action.dest.upper()
            if environment.get(variable):
                leaf.set_defaults(
                    **{action.dest: _value(action, "environment", variable, environment[variable])}
                )
            elif action.dest in stored:
                leaf.set_defaults(
                    **{action.dest: _value(action, config, action.dest, stored[action.dest])}
                )
    return parser.parse_args(arguments)


def _config(arguments: Sequence[str]) -> str:
    for index, word in enumerate(arguments):
        if word == "--config" and index + 1 < len(arguments):
            return arguments[index + 1]
        if word.startswith("--config="):
            return word.partition("=")[2]
    return ""


def _leaves(parser: argparse.ArgumentParser) -> Sequence[argparse.ArgumentParser]:
    found: list[argparse.ArgumentParser] = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found.extend(_leaves(child))
    return found


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not TOML: {error}") from None


def _value(action: argparse.Action, source: str, key: str, raw: Any) -> Any:
    if isinstance(action, argparse._StoreTrueAction):
        return truth(source, key, raw)
    if isinstance(action, argparse._AppendAction):
        parts = raw if isinstance(raw, list) else str(raw).split(",")
        return [str(part).strip() for part in parts]
    if isinstance(raw, list | dict):
        raise OptionError(f"{source}: {key}: must be one value")
    text = str(raw).lower() if isinstance(raw, bool) else str(raw)
    try:
        value = action.type(text) if callable(action.type) else text
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise OptionError(f"{source}: {key}: {error}") from None
    if action.choices is not None and value not in action.choices:
        raise OptionError(f"{source}: {key}: must be one of {', '.join(action.choices)}")
    return value


def truth(source: str, key: str, raw: Any) -> bool:
    """True or false, as people write it. Raises OptionError."""
    match str(raw).lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise OptionError(f"{source}: {key}: must be true or false")


def host_port(text: str) -> tuple[str, int]:
    """`HOST:PORT`; an IPv6 address stands in brackets. Raises argparse.ArgumentTypeError."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)


def http_url(text: str) -> str:
    """An `http://` or `https://` URL, in the characters that a URL has. Raises
    argparse.ArgumentTypeError."""
    if not re.fullmatch(r"https?://[^\s\"'\\{}<>]+", text) or not text.isascii():
        raise argparse.ArgumentTypeError(f"must be an http:// or https:// URL, not {text!r}")
    return text


def positive(text: str) -> int:
    """A whole number from 1. Raises argparse.ArgumentTypeError."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str) -> int:
    """Seconds from `90`, `90s`, `15m`, `24h`, `7d` or `2w`. Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,9})([smhdw]?)", text)
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(
            f"must be a duration such as 90s, 15m, 24h or 7d, not {text!r}"
        )
    return int(found[1]) * _UNITS[found[2] or "s"]


def moment(text: str) -> int:
    """Unix milliseconds from RFC 3339 or a date, UTC. Raises argparse.ArgumentTypeError."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a time such as 2026-05-04T08:10:00Z, not {text!r}"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return int(when.timestamp() * 1000)
