# SPDX-License-Identifier: Apache-2.0
"""Options of the command line that have to do with fingerprints. Light: `--help` reads it."""

from __future__ import annotations

import argparse
from pathlib import Path

from monitor.commands.options import Parser

IMPORT = (
    "take lists that OONI (blocking-fingerprints) or the Citizen Lab (filtering-annotations) "
    "published as CSV into a directory that --fingerprints names"
)


def add_directory(
    parser: Parser, text: str = "judge with the imported fingerprints in here too"
) -> None:
    """Add `--fingerprints DIR`."""
    parser.add_argument("--fingerprints", type=Path, default=None, metavar="DIR", help=text)


def add_commands(known: Parser) -> None:
    """Add `import`, `list` and `lint` to the parser of `reachwatch fingerprints`."""
    leaves = known.add_subparsers(
        dest="leaf", metavar="COMMAND", required=True, parser_class=Parser
    )
    taken = _leaf(leaves, "import", IMPORT)
    add_directory(taken, "directory to write to; it is made when it is not there")
    taken.add_argument("files", nargs="+", metavar="FILE", help="a published CSV file")
    listed = _leaf(leaves, "list", "print what ships with the detector and what was imported")
    add_directory(listed, "what was imported")
    lint = _leaf(leaves, "lint", "say what is wrong with a directory; exit 1 when anything is")
    add_directory(lint, "what was imported")


def _leaf(leaves: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    parser = leaves.add_parser(name, help=text, description=text)
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same options")
    return parser
