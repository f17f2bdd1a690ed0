"""Plain or compressed, by what the file says and not by its name."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from backports import zstd

from monitor.interop.files import BROKEN, FileError, at_hand, opened

TEXT = b"one\ntwo\n" * 100


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_what_is_inside_comes_out(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "some.bin"
    path.write_bytes(pack(TEXT))
    with opened(str(path)) as stream:
        assert stream.read() == TEXT
    with at_hand(str(path)) as name:
        assert name == str(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for name, reason in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(FileError, match=reason), opened(str(name)):
            pass


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_file_cut_short_raises_what_is_listed(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "cut"
    path.write_bytes(pack(TEXT)[:-9])
    with pytest.raises(BROKEN), opened(str(path)) as stream:
        stream.read()


def test_standard_input_can_be_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT)))
    monkeypatch.setattr(sys, "stdin", given)
    with at_hand("-") as name:
        for _ in range(2):
            with opened(name) as stream:
                assert stream.read() == TEXT
    assert not Path(name).exists()
    given.detach()
