# SPDX-License-Identifier: Apache-2.0
"""Files that people have, plain or compressed, as streams of bytes. What is in them is not known
here."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, cast

from probes.runtime.compression import zstd

if TYPE_CHECKING:
    from typing_extensions import Buffer

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 1 << 17
BROKEN = (OSError, EOFError, zlib.error, zstd.ZstdError)
"""What reading a file that is damaged may raise."""


class FileError(Exception):
    """A file that cannot be read; one line, with its name."""


@contextmanager
def opened(name: str) -> Iterator[BufferedReader]:
    """A file by its name, decompressed by what its first bytes say.

    Raises FileError when it cannot be opened; whatever reads it may meet one of BROKEN.
    """
    try:
        with Path(name).open("rb") as raw:
            first = raw.read(4)
            raw.seek(0)
            if first.startswith(_GZIP):
                with gzip.open(raw) as packed:
                    yield unpacked(packed)
            elif first == _ZSTD:
                with zstd.open(raw) as stream:
                    yield cast(BufferedReader, stream)
            else:
                yield raw
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise FileError(f"{name}: {error.strerror}") from None


def unpacked(packed: gzip.GzipFile) -> BufferedReader:
    """The contents of a `.gz`, in larger pieces than its own of 8 kB, which cost as much as the
    decompression. What is before a cut or a damage is read, as it is without."""
    return BufferedReader(_Unpacked(packed), _PIECE_BYTES)


class _Unpacked(RawIOBase):
    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, into: Buffer, /) -> int:
        """Read what one piece of the file gives: what is asked for beyond it may be damaged."""
        view = memoryview(into)
        piece = self._packed.read1(len(view))
        view[: len(piece)] = piece
        return len(piece)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def at_hand(name: str) -> Iterator[str]:
    """The name of a file that can be read more than once: standard input (`-`) is copied."""
    if name != "-":
        yield name
        return
    with tempfile.NamedTemporaryFile(prefix="reachwatch-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield copy.name
