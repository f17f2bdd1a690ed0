# SPDX-License-Identifier: Apache-2.0
"""The options of `reachwatch import` and `reachwatch export`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from monitor.commands.options import Parser, moment

Commands = argparse._SubParsersAction
Make = Callable[["Commands[Parser]", str, str], Parser]
"""Makes a command of a name and a text, with the options that all have."""


def add_commands(commands: Commands[Parser], make: Make, store: Callable[[Parser], None]) -> None:
    """Add both commands. `store` adds the options that say where the store is."""
    text = "measurements that others made into the store"
    leaves = commands.add_parser("import", help=text, description=text).add_subparsers(
        dest="leaf", metavar="FORM", required=True, parser_class=Parser
    )
    ooni = make(
        leaves,
        "ooni",
        "OONI measurements (JSON, JSON Lines, as Explorer wraps them) of web_connectivity, "
        "whatsapp, telegram, signal and facebook_messenger, or OONI observations (CSV in the shape "
        "of obs_web), plain, .gz or .zst; what is wrong is named line by line and left out, and "
        "what is there already is not added again",
    )
    store(ooni)
    ooni.add_argument(
        "--catalogue",
        type=Path,
        default=None,
        metavar="DIR",
        help="catalogue of services (default: the one shipped)",
    )
    ooni.add_argument("files", nargs="+", metavar="FILE", help="a file; - is standard input")
    text = "stored measurements for others; no volunteer's address is in any"
    leaves = commands.add_parser("export", help=text, description=text).add_subparsers(
        dest="leaf", metavar="FORM", required=True, parser_class=Parser
    )
    for form, meaning in (
        ("ooni", "OONI's measurement JSON (data_format_version 0.2.0), one a line"),
        ("csv", "flat rows in the columns of OONI's obs_web"),
        ("parquet", "the same rows as Parquet (extra `parquet`)"),
    ):
        _add_filters(one := make(leaves, form, meaning))
        store(one)


def _add_filters(parser: Parser) -> None:
    parser.add_argument("--service", default=None, metavar="ID", help="only of this service")
    parser.add_argument("--target", default=None, metavar="ID", help="only of this target")
    parser.add_argument(
        "--country", type=_country, default=None, metavar="CC", help="only from this country"
    )
    parser.add_argument(
        "--asn", type=_asn, default=None, metavar="N", help="only from this network"
    )
    parser.add_argument(
        "--since", type=moment, default=None, metavar="T", help="first round, e.g. 2026-05-04"
    )
    parser.add_argument("--until", type=moment, default=None, metavar="T", help="last round")
    parser.add_argument(
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="where to (default: standard output)",
    )


def _country(text: str) -> str:
    if not re.fullmatch("[A-Za-z]{2}", text):
        raise argparse.ArgumentTypeError(f"must be a country code such as KE, not {text!r}")
    return text.upper()


def _asn(text: str) -> int:
    digits = text.upper().removeprefix("AS")
    if not (digits.isascii() and digits.isdigit()) or int(digits) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be an AS number, not {text!r}")
    return int(digits)
