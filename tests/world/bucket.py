"""A real S3 server (moto's) on loopback, for tests: a process of its own, ended by its own pid.

`bucket_server` is a session-scoped fixture; `BucketServer.fresh` makes a new empty bucket.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS


class BucketServer:
    """One server process."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._names = itertools.count(1)
        deadline = time.monotonic() + HANG_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def fresh(self) -> PublicBucket:
        """A new bucket that everybody may read."""
        bucket = PublicBucket(f"{self.url}/bucket-{next(self._names)}")
        bucket.send("", b"")
        return bucket

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(HANG_SECONDS)


class PublicBucket:
    """A bucket by its URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, key: str, body: bytes, method: str = "PUT") -> None:
        """Put an object, or delete it."""
        request = urllib.request.Request(
            f"{self.url}/{key}".rstrip("/"),
            body,
            {"x-amz-acl": "public-read", "Content-Type": "application/gzip"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=HANG_SECONDS):
            pass

    def put(self, key: str, runs: Iterable[Mapping[str, Any]]) -> None:
        """Put a file of runs."""
        self.send(key, lines_file(runs))


def lines_file(runs: Iterable[Mapping[str, Any]]) -> bytes:
    """A `.jsonl.gz`."""
    return gzip.compress(b"".join(json.dumps(run).encode() + b"\n" for run in runs), 1)


def posts_file(runs: Iterable[Mapping[str, Any]]) -> bytes:
    """A `.tar.gz` of posts as OONI's collector received them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as posts:
        for number, run in enumerate(runs):
            body = json.dumps({"format": "json", "content": run}).encode()
            member = tarfile.TarInfo(f"x/{number:016x}.post")
            member.size = len(body)
            posts.addfile(member, io.BytesIO(body))
    return packed.getvalue()


def key(hour: str, country: str = "KE", test: str = "telegram", number: int = 0) -> str:
    """The key of a file of the hour `YYYYMMDDHH`."""
    name = f"{hour}_{country}_{test}.n0.{number}.jsonl.gz"
    return f"raw/{hour[:8]}/{hour[8:]}/{country}/{test}/{name}"


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """A server for the whole session."""
    with contextlib.closing(BucketServer()) as server:
        yield server


@pytest.fixture
def public_bucket(bucket_server: BucketServer) -> PublicBucket:
    """A new bucket."""
    return bucket_server.fresh()
