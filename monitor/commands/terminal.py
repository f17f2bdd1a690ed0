# SPDX-License-Identifier: Apache-2.0
"""What several commands print: tables with aligned columns, times and evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells, the heading first, as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def time_text(milliseconds: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, to the second."""
    return dt.datetime.fromtimestamp(milliseconds / 1000, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def nats(micro: int) -> str:
    """Micro-nats as nats with one digit."""
    return f"{micro / 1e6:.1f}"
