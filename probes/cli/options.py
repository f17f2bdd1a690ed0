# SPDX-License-Identifier: Apache-2.0
"""Which options and commands `reachprobe` has, and how the text of each is read.

A table, so that command line, environment and file cannot drift apart. Parsers turn text into
a value or raise ValueError with the reason; where the text came from is `probes.cli.settings`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec


def flag(text: str) -> bool:
    """True or false, as people write it. Raises ValueError."""
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _country(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise ValueError("must be two letters (ISO 3166), e.g. FR")
    return text.upper()


def _asn(text: str) -> int:
    digits = text.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit()) or int(digits) > 4_294_967_295:
        raise ValueError("must be an AS number, e.g. 64501")
    return int(digits)


def _role(text: str) -> str:
    if text not in ("vantage", "control"):
        raise ValueError("must be vantage or control")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError("must be an IP address") from None


def _host_port(text: str, default: int | None = None) -> str:
    host, colon, port = text.rpartition(":")
    if (not colon or (":" in host and not host.endswith("]"))) and default is not None:
        host, port = text, str(default)
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must be HOST:PORT (an IPv6 address in brackets)")
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _resolver(text: str) -> str:
    normal = _host_port(text, default=53)
    _address(normal.rpartition(":")[0])
    return normal


def _number(text: str, least: float = 0.0, most: float = 1e9) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not least <= value <= most:
        raise ValueError(f"must be from {least:g} to {most:g}")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1_000_000:
        raise ValueError("must be a whole number, at least 1")
    return int(text)


def _accept(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ValueError("must be the 16 hex digits that `reachprobe consent` prints")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)?", text):
        raise ValueError(f"{text!r} is not an id, e.g. wechat or wechat/messaging")
    return text


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option: its parser, and what `--help` says."""

    parse: Callable[[str], Any]
    help: str
    metavar: str = ""
    many: bool = False
    """May be given several times, or with commas."""
    name: str = ""
    """Name on the command line without dashes, when it is not the field's name."""


OPTIONS: Mapping[str, Option] = {
    "state": Option(parse=_path, metavar="DIR", help="state directory"),
    "catalogue": Option(
        parse=_path, metavar="DIR", help="catalogue directory in place of the shipped one"
    ),
    "service": Option(
        parse=_word, metavar="ID", many=True, help="measure only this service (repeatable)"
    ),
    "target": Option(
        parse=_word, metavar="ID", many=True, help="measure only this target (repeatable)"
    ),
    "json": Option(parse=flag, help="print JSON"),
    "country": Option(
        parse=_country, metavar="CC", help="country this machine is in (not looked up then)"
    ),
    "asn": Option(parse=_asn, metavar="N", help="AS number of its network"),
    "role": Option(parse=_role, metavar="ROLE", help="vantage (default) or control"),
    "bind": Option(parse=_address, metavar="ADDRESS", help="own address to measure from"),
    "resolver": Option(
        parse=_resolver, metavar="ADDRESS:PORT", help="resolver in place of resolv.conf's"
    ),
    "allow_private": Option(
        parse=flag, help="laboratory: allow private addresses and short intervals"
    ),
    "broker": Option(
        parse=str,
        metavar="URL",
        many=True,
        help="mqtt://, mqtts://, ws:// or wss:// URL in place of the enrolled one",
    ),
    "interval": Option(
        parse=lambda text: _number(text, 0.1),
        metavar="SECONDS",
        help="of rounds (default 300, at most a day)",
    ),
    "accept_risks": Option(
        parse=_accept, metavar="HASH", help="agree to the text of `reachprobe consent`"
    ),
    "budget": Option(
        parse=_number,
        metavar="MB",
        help="most traffic a month; rounds get rarer to keep it (default 0: no limit)",
    ),
    "only": Option(parse=_word, metavar="ID,..", many=True, help="only these services or targets"),
    "except_": Option(
        parse=_word, metavar="ID,..", many=True, help="not these services or targets", name="except"
    ),
    "metrics": Option(
        parse=_host_port, metavar="HOST:PORT", help="answer /metrics and /healthz there"
    ),
    "spool_limit": Option(
        parse=lambda text: _number(text, 0.1),
        metavar="MB",
        help="size of the outbox on disk (default 50)",
    ),
    "check": Option(parse=flag, help="only exit 0 when it works, 1 when not"),
    "last": Option(parse=_whole, metavar="N", help="how many (default 20)"),
    "listen": Option(parse=_host_port, metavar="HOST:PORT", help="default 127.0.0.1:8443"),
    "certificate": Option(
        parse=_path, metavar="FILE", help="PEM certificate (made in the state directory if none)"
    ),
    "key": Option(parse=_path, metavar="FILE", help="its PEM key"),
    "from_": Option(parse=_path, metavar="FILE", help="table to read", name="from"),
}


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command: its help and the options it takes."""

    help: str
    options: tuple[str, ...] = ()
    positional: str = ""


COMMANDS: Mapping[str, Command] = {
    "once": Command(
        help="one full round, printed; no broker needed",
        options=(
            "catalogue", "service", "target", "json", "country", "asn", "role", "bind",
            "resolver", "allow_private", "state",
        ),
    ),
    "join": Command(
        help="enrol: exchange a token for this probe's own credentials",
        options=("accept_risks", "state"),
        positional="token",
    ),
    "run": Command(
        help="the daemon: measure, spool, publish, wait for the acknowledgement",
        options=(
            "broker", "interval", "state", "country", "asn", "bind", "resolver", "budget",
            "only", "except_", "metrics", "catalogue", "allow_private", "accept_risks",
            "spool_limit",
        ),
    ),
    "status": Command(help="does it work?", options=("json", "check", "state")),
    "show": Command(help="the last measurements", options=("last", "json", "state")),
    "payload": Command(help="exactly what leaves this machine", options=("state",)),
    "consent": Command(
        help="the risks text and its hash; with --accept-risks, agree to it",
        options=("accept_risks", "state"),
    ),
    "geo update": Command(
        help="read an offline table of countries and networks", options=("from_", "state")
    ),
    "leave": Command(help="revoke this probe and wipe its state", options=("state",)),
    "reflector": Command(
        help="the other end for contrasts, beside a control",
        options=("listen", "certificate", "key", "state"),
    ),
}  # fmt: skip


def flag_of(name: str) -> str:
    """The option as typed: `accept_risks` is `--accept-risks`."""
    return "--" + (OPTIONS[name].name or name).replace("_", "-")


def key_of(name: str) -> str:
    """The option's key in a TOML file: `except_` is `except`."""
    return OPTIONS[name].name or name
