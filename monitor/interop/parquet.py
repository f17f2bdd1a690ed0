# SPDX-License-Identifier: Apache-2.0
"""Flat rows to Parquet, one row group at a time. Needs pyarrow (extra `parquet`)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, BinaryIO

from monitor.interop.flat import COLUMNS, FlatRow
from monitor.interop.forms import LICENCE_URL

ROW_GROUP = 50_000


class ParquetMissingError(Exception):
    """pyarrow is not installed; one line with the remedy."""


def pyarrow(purpose: str) -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`. Raises ParquetMissingError, which says for what
    `purpose` they are needed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        reason = f"{purpose} needs pyarrow: pip install 'reachwatch[parquet]'"
        raise ParquetMissingError(reason) from None


class ParquetWriter:
    """Writes rows to a stream; without `close` the file is incomplete."""

    def __init__(
        self, out: BinaryIO, row_group: int = ROW_GROUP, licence_url: str = LICENCE_URL
    ) -> None:
        """At most `row_group` rows are in memory. Raises ParquetMissingError."""
        self._arrow, parquet = pyarrow("export parquet")
        arrow = self._arrow
        # Dictionaries: most columns have few words, repeated a million times.
        kind = arrow.dictionary(arrow.int32(), arrow.string())
        self._schema = arrow.schema(
            [(name, kind) for name in COLUMNS], metadata={"licence": licence_url}
        )
        self._row_group = row_group
        self._writer: Any = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[FlatRow] = []

    def write(self, rows: Sequence[FlatRow]) -> None:
        """Add rows."""
        self._rows += rows
        if len(self._rows) >= self._row_group:
            self._flush()

    def _flush(self) -> None:
        columns = [
            self._arrow.array([row.get(name) for row in self._rows], self._arrow.string())
            .dictionary_encode()
            .cast(self._schema.field(name).type)
            for name in COLUMNS
        ]
        table = self._arrow.Table.from_arrays(columns, schema=self._schema)
        self._writer.write_table(table)
        self._rows = []

    def close(self) -> None:
        """Write the remaining rows and the end of the file."""
        if self._rows:
            self._flush()
        self._writer.close()
