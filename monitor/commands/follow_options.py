# SPDX-License-Identifier: Apache-2.0
"""Options of `reachwatch follow` that `up` has as well."""

from __future__ import annotations

from probes.runtime.options import Parser, country, duration, http_url, number, one_of


def add_selection(parser: Parser) -> None:
    """Add what is followed, from when on and how fast."""
    parser.option(
        "--since DURATION",
        "how far back to begin following, e.g. 30d",
        read=duration,
        default="7d",
    )
    parser.option(
        "--tests NAME",
        "tests to follow (repeatable, or with commas): telegram, whatsapp, signal, "
        "facebook_messenger, and web_connectivity, of which only runs at the catalogue's hosts are "
        "kept (default: all but web_connectivity)",
        read=one_of("telegram", "whatsapp", "signal", "facebook_messenger", "web_connectivity"),
        many=True,
    )
    parser.option(
        "--countries CC",
        "countries to follow (repeatable, or with commas; default: all)",
        read=country,
        many=True,
    )
    parser.option(
        "--rate MB",
        "most megabytes to download a second while following",
        read=number(0.001, 1000),
        default="4",
    )
    parser.option(
        "--source URL",
        "URL of the bucket to follow, or of a copy (default: OONI's own)",
        read=http_url,
    )
