# SPDX-License-Identifier: Apache-2.0
"""Options of both programs: command line beats environment beats TOML file beats default.

An option is declared once. Its value arrives as text from any of the four places and goes through
the same reader, so a bad value gives the same reason wherever it stood, on one line that names the
place. Of argparse only the syntax is used: which words belong to which option, and `--help`.

ConfigArgParse and click were tried: the first names neither file nor variable in its errors and
loses lists under subcommands, the second needs 1.8 MB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import keyword
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

Reader = Callable[[str], Any]
"""Turns text into a value, or raises ValueError with the reason."""


class OptionError(Exception):
    """A bad option. The text is one line: where it came from, which key, and why."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option of one command."""

    flag: str
    """As typed, `--accept-risks`; an argument without a flag has its name here."""
    read: Reader
    many: bool
    """Given several times, or with commas; the value is a tuple."""
    default: str | None
    required: bool

    @property
    def key(self) -> str:
        """Its key in a TOML file; the variable is the same in capitals, after the prefix."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def attribute(self) -> str:
        """Where the value is in the namespace: `from` is a word of Python, hence `from_`."""
        return f"{self.key}_" if keyword.iskeyword(self.key) else self.key

    def value(self, place: str, raw: str | Sequence[str]) -> Any:
        """Read what stands at `place`. Raises OptionError."""
        try:
            if self.many:
                texts = [raw] if isinstance(raw, str) else raw
                parts = [part.strip() for text in texts for part in text.split(",")]
                if texts and not any(parts):
                    raise ValueError("names nothing")  # and not everything
                return tuple(self.read(part) for part in parts if part)
            if not isinstance(raw, str):
                raise ValueError("must be one value, not a list")
            return self.read(raw)
        except ValueError as error:
            raise OptionError(f"{place}: {error}") from None


def nearest(word: str, known: Collection[str], prefix: str = "") -> str:
    """`; did you mean X?` with the known word that is most similar, or nothing. `prefix` stands
    before the word and is not compared."""
    import difflib  # for this one line; the daemon runs without

    found = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


_KUBERNETES = re.compile(
    r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""Variables that Kubernetes and Docker links set for every service that they know:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
(2026-11-27)."""


class Parser(argparse.ArgumentParser):
    """The command line of a program, or of one of its commands."""

    def __init__(
        self, *arguments: Any, prefix: str = "", others: Collection[str] = (), **named: Any
    ) -> None:
        """`prefix` begins the names of environment variables, e.g. `REACHPROBE_`; `others` are
        those without the prefix that scripts read and that are no options."""
        named.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **named)
        self.prefix = prefix
        self.others = frozenset(others)
        self.path = ""
        """How a command is called: `geo update`."""
        self.options: dict[str, Option] = {}
        """By key."""
        self.commands: dict[str, Parser] = {}
        self._branches: Any = None

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        unknown = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if unknown is not None:
            near = nearest(unknown[1], self.commands)
            message = f"no command {unknown[1]!r}{near} ({', '.join(self.commands)})"
        elif message.endswith("required: COMMAND"):
            message = f"COMMAND is missing ({', '.join(self.commands)})"
        elif ": " in message and message.startswith("the following arguments are required"):
            # Python 3.11 names arguments that may be missing as well, after those that may not.
            message = f"{message.partition(': ')[2].partition(',')[0]} is missing"
        raise OptionError(f"command line: {message}")

    def group(self, name: str, text: str) -> Parser:
        """Add a command that has commands of its own."""
        if self._branches is None:
            self._branches = self.add_subparsers(metavar="COMMAND", required=True)
        child: Parser = self._branches.add_parser(name, help=text, description=text)
        child.path = f"{self.path} {name}".strip()
        self.commands[name] = child
        return child

    def command(self, name: str, text: str) -> Parser:
        """Add a command. `command` of the namespace is its path, e.g. `geo update`."""
        child = self.group(name, text)
        child.set_defaults(command=child.path, chosen=child)
        child.add_argument(
            "--config", metavar="FILE", default="", help="TOML file that sets these options"
        )
        return child

    def option(
        self,
        flag: str,
        text: str,
        *,
        read: Reader = str,
        many: bool = False,
        default: str | None = None,
        required: bool = False,
        bare: str | None = None,
    ) -> None:
        """Add an option, written as `--help` shows it: `--interval SECONDS`. Without the name of a
        value it is true or false, and False is the default. Without dashes it is an argument.

        `default` is text as a user would type it and is shown in `--help`; '' and None mean "not
        set" and stay as they are. With `many` the default is (). `bare` is the value of the option
        when it is given without one.
        """
        flag, _, metavar = flag.partition(" ")
        if flag.startswith("-") and not metavar:
            read = truth
        option = Option(flag=flag, read=read, many=many, default=default, required=required)
        if required:
            text = f"{text} (required)"
        self.options[option.key] = option
        named: dict[str, Any] = {"default": argparse.SUPPRESS}
        if flag.startswith("-"):
            named["dest"] = option.attribute
        else:
            named["nargs"] = "?"
        if read is truth:
            named |= {"action": "store_const", "const": "true"}
        else:
            named["metavar"] = metavar or option.key.upper()
            if many:
                named["action"] = "append"
            if bare is not None:
                named |= {"nargs": "?", "const": bare}
            if default:
                text = f"{text} (default: {default})"
        self.add_argument(flag, help=text.replace("%", "%%"), **named)

    def read(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> argparse.Namespace:
        """Return the options of one call. Raises OptionError; `--help` exits as argparse does."""
        environment = os.environ if environment is None else environment
        given, unknown = self.parse_known_args(arguments)
        chosen: Parser = given.chosen
        if unknown:
            flags = [option.flag.lstrip("-") for option in chosen.options.values()]
            near = nearest(unknown[0].partition("=")[0].lstrip("-"), flags, "--")
            chosen.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        file = given.config or environment.get(f"{self.prefix}CONFIG", "")
        stored = _from_file(file) if file else {}
        self._read_other_keys(file, stored, chosen)
        for key, option in chosen.options.items():
            variable = self.prefix + key.upper()
            if hasattr(given, option.attribute):
                value = option.value(
                    f"command line: {option.flag}", getattr(given, option.attribute)
                )
            elif environment.get(variable):  # a compose file leaves variables empty
                value = option.value(f"environment: {variable}", environment[variable])
            elif key in stored:
                value = option.value(f"{file}: {key}", stored[key])
            elif option.required:
                name = option.flag if option.flag.startswith("-") else option.key.upper()
                raise OptionError(f"command line: {name} is missing")
            elif option.default:
                value = option.value(f"default of {option.flag}", option.default)
            elif option.many:
                value = ()
            else:
                value = False if option.read is truth else option.default
            setattr(given, option.attribute, value)
        return given

    def unknown_variables(self, environment: Mapping[str, str]) -> Iterator[str]:
        """One line for each variable with the prefix that is no option. They are no error, and
        those of Kubernetes, such as `REACHPROBE_PORT`, and of scripts are expected."""
        known = {key.upper() for leaf in self.leaves() for key in leaf.options} | {"CONFIG"}
        for variable in sorted(environment):
            name = variable.removeprefix(self.prefix)
            expected = name in known | self.others or _KUBERNETES.fullmatch(variable)
            if variable != name and not expected:
                near = nearest(name, known, self.prefix)
                yield f"environment: {variable}: unknown option, ignored{near}"

    def leaves(self) -> Iterator[Parser]:
        """Every command without commands of its own."""
        for child in self.commands.values():
            yield from child.leaves()
        if not self.commands:
            yield self

    def _read_other_keys(
        self, file: str, stored: Mapping[str, str | list[str]], chosen: Parser
    ) -> None:
        """One file serves all commands, so keys of the others are read too: a mistake shows at
        once. Two commands may read one key differently; one that accepts it is enough."""
        for key, raw in stored.items():
            options = [leaf.options[key] for leaf in self.leaves() if key in leaf.options]
            if not options:
                near = nearest(key, {each for leaf in self.leaves() for each in leaf.options})
                raise OptionError(f"{file}: {key}: unknown key{near}")
            if key in chosen.options:
                continue
            refusals = []
            for option in options:
                try:
                    option.value(f"{file}: {key}", raw)
                except OptionError as error:
                    refusals.append(error)
            if len(refusals) == len(options):
                raise refusals[0]


def _from_file(file: str) -> dict[str, str | list[str]]:
    try:
        document = tomllib.loads(Path(file).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{file}: {error.strerror or error}") from None
    except RecursionError:
        raise OptionError(f"{file}: not TOML: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, an integer too long
        raise OptionError(f"{file}: not TOML: {error}") from None
    return {key: _texts(f"{file}: {key}", value) for key, value in document.items()}


def _texts(place: str, value: object) -> str | list[str]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        # Python refuses to write down an integer of thousands of digits.
        if not isinstance(item, str | int | float) or (
            isinstance(item, int) and item.bit_length() > 64
        ):
            raise OptionError(f"{place}: must be a string, number, boolean or list")
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
    return texts if isinstance(value, list) else texts[0]


def truth(text: str) -> bool:
    """True or false, as people write it."""
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def path(text: str) -> Path:
    """A path; `~` is the home directory."""
    return Path(text).expanduser()


def one_of(*words: str) -> Reader:
    """A reader of one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return read


def number(least: float, most: float = 1e9) -> Reader:
    """A reader of numbers in this range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"must be a number, not {text!r}") from None
        if not least <= value <= most:
            raise ValueError(f"must be from {least:.10g} to {most:.10g}")
        return value

    return read


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < 10**9:
        raise ValueError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def host_port(text: str, port: int | None = None) -> tuple[str, int]:
    """`HOST:PORT`; an IPv6 address stands in brackets, unless `port` is the default and none is
    given."""
    host, colon, digits = text.rpartition(":")
    if port is not None and (not colon or (":" in host and not host.endswith("]"))):
        host, digits = text, str(port)
    if not host or not (digits.isascii() and digits.isdigit()) or int(digits) > 65535:
        raise ValueError(f"must be HOST:PORT (an IPv6 address in brackets), not {text!r}")
    return host.strip("[]"), int(digits)


def authority(host: str, port: int, usual: int | None = None) -> str:
    """`HOST:PORT` as `host_port` reads it and as URLs have it; without the port where it is the
    usual one."""
    name = f"[{host}]" if ":" in host else host
    return name if port == usual else f"{name}:{port}"


def ip_address(text: str) -> str:
    """An IP address, also in brackets."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"must be an IP address, not {text!r}") from None


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An IP address or a network, e.g. 192.0.2.0/24."""
    try:
        return ipaddress.ip_network(text.strip("[]"))
    except ValueError:
        raise ValueError(f"must be an IP address or network, not {text!r}") from None


def http_url(text: str) -> str:
    """An `http://` or `https://` URL, in the characters that a URL has."""
    if not re.fullmatch(r"https?://[^\s\"'\\{}<>]+", text) or not text.isascii():
        raise ValueError(f"must be an http:// or https:// URL, not {text!r}")
    return text


def country(text: str) -> str:
    """An ISO 3166 country code, in capitals."""
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise ValueError(f"must be a country code of two letters, e.g. FR, not {text!r}")
    return text.upper()


def asn(text: str) -> int:
    """An AS number, with or without `AS`."""
    digits = text.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit()) or int(digits) >= 2**32:
        raise ValueError(f"must be an AS number, e.g. 64501, not {text!r}")
    return int(digits)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def duration(text: str) -> int:
    """Seconds from `90s`, `15m`, `24h`, `7d` or `2w`. A number without a unit is refused: whoever
    means days must not get seconds."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    if not found or int(found[1]) == 0:
        raise ValueError(f"must be a duration such as 90s, 15m, 24h or 7d, not {text!r}")
    if not found[2]:
        raise ValueError(
            f"must be with its unit: {text}s (seconds), {text}m (minutes), {text}h (hours), "
            f"{text}d (days) or {text}w (weeks)"
        )
    return int(found[1]) * _UNITS[found[2]]


def moment(text: str) -> int:
    """Unix milliseconds from RFC 3339 or a date, UTC."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a time such as 2026-05-04T08:10:00Z, not {text!r}") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return int(when.timestamp() * 1000)
