# SPDX-License-Identifier: Apache-2.0
"""Options of `reachwatch compare`."""

from __future__ import annotations

from collections.abc import Callable

from probes.runtime.options import Parser, country, moment, one_of


def add_compare(top: Parser, common: Callable[[Parser], None]) -> None:
    """Add the command; `common` adds the options of a store and of fingerprints."""
    ooni = top.group("compare", "compare verdicts with the conclusions of others").command(
        "ooni",
        "show OONI's own flags of each run (telegram_tcp_blocking, whatsapp_endpoints_status, "
        "blocking, ...) beside our verdicts on it, why they differ, and how often, by test and "
        "country",
    )
    common(ooni)
    ooni.option("--since T", "only runs from then on, e.g. 2026-05-04", read=moment)
    ooni.option("--until T", "only runs before", read=moment)
    ooni.option(
        "--tests NAME",
        "only these tests (repeatable, or with commas)",
        read=one_of("telegram", "whatsapp", "signal", "facebook_messenger", "web_connectivity"),
        many=True,
    )
    ooni.option(
        "--countries CC",
        "only these countries (repeatable, or with commas)",
        read=country,
        many=True,
    )
    add_format(ooni, "a text with examples; csv and jsonl have a row for each function of each run")
    ooni.option("--summary", "with csv or jsonl: only the counts, by test, country and reason")
    ooni.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="OONI's measurements (as for `import ooni`) to use instead of the store; - is "
        "standard input",
    )


def add_format(parser: Parser, text: str) -> None:
    """Add how it is printed; `text` says what a text has."""
    parser.option(
        "--format {text,csv,jsonl}",
        f"how to print: text ({text})",
        read=one_of("text", "csv", "jsonl"),
        default="text",
    )
