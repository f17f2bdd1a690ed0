# SPDX-License-Identifier: Apache-2.0
"""What each column of the API's lists and of the exported files means, from `dictionary.toml`: its
columns are those of CSV and Parquet. A test compares them with the keys that the code writes.

`reachwatch schema --markdown docs/dictionary` writes them beside the fields of the wire format;
/data/dictionary shows them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from probes.wire import dictionary as wire


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


_NOTE = (
    "Everything is published under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). "
    "Generated from `monitor/interop/dictionary.toml`."
)
_INDEX = """\
# Data dictionary

Every field of the wire format, of the API and of the exported files, for researchers who read data.
`reachwatch schema` prints the JSON Schema of a measurement.

| page | describes |
|---|---|
"""


def pages() -> Mapping[str, str]:
    """The whole dictionary as Markdown, by name of the page: index, wire format, API, files."""
    described = {
        name: ", ".join(kind.__name__ for kind in page.types) for name, page in wire.PAGES.items()
    }
    described["api.md"] = f"the lists of `/api/v1/`: {_titles(API)}"
    described["files.md"] = f"the exported files: {_titles(FILES)}"
    rows = "".join(f"| [{name}]({name}) | {about} |\n" for name, about in described.items())
    return {
        "README.md": _INDEX + rows,
        **wire.pages(),
        "api.md": _page(
            "API",
            "CSV columns of the lists of `/api/v1/`, truth as in JSON: `true`; JSON nests at dots. "
            "Times: RFC 3339, UTC.",
            API,
        ),
        "files.md": _page("Files", "The columns of the exported files.", FILES),
    }


def _titles(tables: tuple[ColumnTable, ...]) -> str:
    return ", ".join(table.title for table in tables)


def _page(title: str, about: str, tables: tuple[ColumnTable, ...]) -> str:
    parts = [f"# {title}\n\n{about} {_NOTE}\n"]
    for table in tables:
        parts.append(f"## {table.title}\n\n{table.about}\n\n| column | meaning |\n|---|---|")
        parts.extend(f"| `{name}` | {meaning} |" for name, meaning in table.columns.items())
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"
