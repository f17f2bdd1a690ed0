"""A directory of fingerprints, sound and unsound."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.detection.fingerprints import OWN
from monitor.interop.fingerprints import directory, tables
from probes.runtime.options import OptionError
from tests.monitor.interop.fingerprints.samples import OONI_DNS, OONI_HTTP, row


def test_without_one_our_own_are_used(tmp_path: Path) -> None:
    assert directory.load(None) is OWN
    assert directory.load(tmp_path).version == ""


def test_what_is_kept_is_loaded(tmp_path: Path) -> None:
    into = tmp_path / "new" / "deep"
    http, dns = (tables.read("f", raw).entries for raw in (OONI_HTTP, OONI_DNS))
    directory.keep(into, "ooni-http.csv", http)
    first = directory.load(into)
    assert first.size == len(http)
    directory.keep(into, "ooni-dns.csv", dns)
    (into / "notes.txt").write_text("not a list")
    both = directory.load(into)
    assert both.size == len(http) + len(dns)
    assert both.version != first.version
    assert sorted(path.name for path in into.iterdir()) == [
        "notes.txt",
        "ooni-dns.csv",
        "ooni-http.csv",
    ]
    # The same contents under other names are the same set.
    (into / "ooni-dns.csv").rename(into / "a.csv")
    assert directory.load(into).version == both.version


@pytest.mark.parametrize("raw", [row(scope="world"), row(pattern="(a+)+", pattern_type="regexp")])
def test_a_directory_with_a_fault_is_not_loaded(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "bad.csv").write_bytes(raw)
    with pytest.raises(OptionError, match=r"bad\.csv:2: "):
        directory.load(tmp_path)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--fingerprints: .*nowhere: No such file"):
        directory.load(tmp_path / "nowhere")
