"""The same rows as Parquet, read back by pyarrow itself."""

from __future__ import annotations

import io
from typing import Any

import pytest

from monitor.interop.flat import COLUMNS
from monitor.interop.parquet import ParquetWriter

arrow: Any = pytest.importorskip("pyarrow.parquet")


def test_rows_come_back_whatever_the_group() -> None:
    out = io.BytesIO()
    writer = ParquetWriter(out, 3)
    rows = [{"input": f"telegram/{n}", "probe_cc": "KE"} for n in range(8)]
    for part in (rows[:3], rows[3:7], rows[7:]):
        writer.write(part)
    writer.close()
    table = arrow.read_table(io.BytesIO(out.getvalue()))
    assert tuple(table.column_names) == COLUMNS
    assert table.column("input").to_pylist() == [row["input"] for row in rows]
    assert table.column("ip").to_pylist() == [None] * 8
    assert arrow.ParquetFile(io.BytesIO(out.getvalue())).num_row_groups == 3


def test_no_rows_are_an_empty_table() -> None:
    out = io.BytesIO()
    ParquetWriter(out).close()
    assert arrow.read_table(io.BytesIO(out.getvalue())).num_rows == 0
