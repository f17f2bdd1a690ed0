# SPDX-License-Identifier: Apache-2.0
"""How OONI's public bucket is laid out: names to hours, countries and tests, and back.

Read 2026-11-30: the Readme of `ooni/data` at c8fcc72, "OONI data on AWS S3" on docs.ooni.org, and
the documentation of the measurement uploader in `ooni/backend`:

- The bucket is `ooni-data-eu-fra` in eu-central-1, open to everybody without a key.
- Since 2020-10-20: `raw/YYYYMMDD/HH/CC/TEST/YYYYMMDDHH_CC_TEST.HOST.N.jsonl.gz`, one measurement a
  line. Day and hour are those of the upload; a run may be days older. TEST is the test's name
  without underscores, HOST names the collector, N counts.
- Beside it `.tar.gz` with the same measurements as they were posted, a member `…_HASH.post` each.
- The uploader runs once an hour. After a crash a file of an hour appears late.
- "Paths will be updated to live under `/jsonl/`": what is not as above is an error that says so.
- Files from before are under `jsonl/TEST/CC/YYYYMMDD/00/` and are not followed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
URL = "https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com"
ROOT = "raw/"
FIRST_HOUR = int(dt.datetime(2020, 10, 20, tzinfo=dt.UTC).timestamp()) * 1000
"""Older files have another layout."""
TESTS = ("facebook_messenger", "signal", "telegram", "whatsapp")
"""What is followed unless other tests are chosen."""
_HOUR = re.compile(r"raw/([0-9]{8})/([0-9]{2})/")
_FILE = re.compile(
    r"raw/(?P<day>[0-9]{8})/(?P<hour>[0-9]{2})/(?P<country>[A-Z]{2})/(?P<test>[a-z0-9]+)/"
    r"(?P<stem>(?P=day)(?P=hour)_(?P=country)_(?P=test)\.[A-Za-z0-9.-]+)\.(?P<kind>jsonl|tar)\.gz"
)
_ENDINGS = (".jsonl.gz", ".tar.gz")


class LayoutError(Exception):
    """The bucket is not laid out as described here; one line."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: OONI's bucket is not laid out as it was on 2026-11-30 "
            "(raw/YYYYMMDD/HH/CC/TEST/YYYYMMDDHH_CC_TEST.HOST.N.jsonl.gz); "
            "a newer version of Reachwatch may know its new layout"
        )


class Listed(msgspec.Struct, frozen=True):
    """An object as the bucket lists it."""

    key: str
    version: str
    """Its ETag."""
    size: int


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of measurements."""

    key: str
    name: str
    """Without its ending: a `.jsonl.gz` takes the place of the `.tar.gz` of the same posts."""
    hour: int
    """Of its upload, Unix milliseconds."""
    country: str
    test: str
    """As in names of files, without underscores."""
    posts: bool
    """Whether it is a `.tar.gz` of single posts."""
    version: str
    size: int


def day_prefix(hour: int) -> str:
    """Where the hours of a day are."""
    return f"{ROOT}{_time(hour):%Y%m%d}/"


def hour_prefix(hour: int) -> str:
    """Where the files of an hour are."""
    return f"{ROOT}{_time(hour):%Y%m%d/%H}/"


def _time(hour: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(hour / 1000, dt.UTC)


def hours_of(prefixes: Iterable[str]) -> list[int]:
    """The hours that a day has, ascending. Raises LayoutError."""
    hours = []
    for prefix in prefixes:
        named = _HOUR.fullmatch(prefix)
        hour = None if named is None else _milliseconds(named[1], named[2])
        if hour is None:
            raise LayoutError(f"{prefix!r} is no hour")
        hours.append(hour)
    return sorted(hours)


def _milliseconds(day: str, hour: str) -> int | None:
    try:
        return int(dt.datetime.strptime(f"{day}{hour}+0000", "%Y%m%d%H%z").timestamp()) * 1000
    except ValueError:
        return None


def file_of(listed: Listed) -> SourceFile | None:
    """The file of measurements that an object is; None if it has another name."""
    named = _FILE.fullmatch(listed.key)
    hour = None if named is None else _milliseconds(named["day"], named["hour"])
    if named is None or hour is None:
        return None
    return SourceFile(
        key=listed.key,
        name=named["stem"],
        hour=hour,
        country=named["country"],
        test=named["test"],
        posts=named["kind"] == "tar",
        version=listed.version,
        size=listed.size,
    )


class FileSelection(msgspec.Struct, frozen=True):
    """Which files are read."""

    tests: tuple[str, ...] = TESTS
    """OONI's names."""
    countries: tuple[str, ...] = ()
    """All without one."""

    @property
    def text(self) -> str:
        """One word for it, the same in every process."""
        return f"{','.join(sorted(self.tests))}:{','.join(sorted(self.countries))}"

    def prefixes(self, hour: int) -> Iterator[str]:
        """What to list for an hour. A page has a thousand names, and an hour has ten pages."""
        whole = hour_prefix(hour)
        if self.countries:
            yield from (f"{whole}{country}/" for country in sorted(self.countries))
        else:
            yield whole

    def files(self, objects: Iterable[Listed]) -> list[SourceFile]:
        """The files among the objects of an hour, in the order of their names. Raises LayoutError
        where no object has the name of one."""
        tests = {test.replace("_", "") for test in self.tests}
        strange, known, chosen = "", False, dict[str, SourceFile]()
        for listed in objects:
            file = file_of(listed)
            if file is None:
                strange = strange or (listed.key if listed.key.endswith(_ENDINGS) else "")
                continue
            known = True
            if file.test not in tests or (self.countries and file.country not in self.countries):
                continue
            if file.name not in chosen or not file.posts:
                chosen[file.name] = file
        if strange and not known:
            raise LayoutError(f"{strange!r} is no file of measurements")
        return sorted(chosen.values(), key=lambda file: file.name)
