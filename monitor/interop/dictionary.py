# SPDX-License-Identifier: Apache-2.0
"""What each column of the API's lists and of the exported files means, from `dictionary.toml`: its
columns are those of CSV and Parquet. A test compares them with the keys that the code writes.

`reachwatch schema --markdown` prints them after the fields of the wire format; /data/dictionary
shows them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from probes.wire.dictionary import dictionary as wire_dictionary


class ColumnTable(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one list or file."""

    id: str
    title: str
    about: str
    columns: Mapping[str, str]
    """Name to meaning, in order."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    api: tuple[ColumnTable, ...]
    files: tuple[ColumnTable, ...]


_read = msgspec.convert(
    tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")), _File
)
API, FILES = _read.api, _read.files
TABLES = (*API, *FILES)


def columns_of(id: str) -> tuple[str, ...]:
    """The columns of a list or file, in order."""
    return next(tuple(table.columns) for table in TABLES if table.id == id)


def document() -> str:
    """The whole dictionary as Markdown: wire format, API, files."""
    parts = [
        wire_dictionary(),
        "# API and files\n\nThe columns of the lists of `/api/v1/` (in CSV; JSON nests what is "
        "written with a dot) and of the exported files. Everything is published under "
        "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).\n",
    ]
    for table in TABLES:
        parts.append(f"## {table.title}\n\n{table.about}\n\n| column | meaning |\n|---|---|")
        parts.extend(f"| `{name}` | {meaning} |" for name, meaning in table.columns.items())
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"
