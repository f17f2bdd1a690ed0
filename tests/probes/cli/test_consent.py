import datetime as dt
from pathlib import Path

import msgspec
import pytest

from probes.cli import consent
from probes.rounds.retests import MAX_PER_HOUR, MAX_PER_TARGET

NOW = dt.datetime(2026, 11, 25, 1, 2, 3, tzinfo=dt.UTC)


def test_the_text_says_what_it_must() -> None:
    text = " ".join(consent.text().split())
    for words in (
        "Anyone who watches your connection",
        "banned where you are",
        "illegal",
        "lawyer",
        "not yours",
        "Never your IP address",
        "not a privacy tool",
        "VPN",
        "You choose the services",
        f"at most {MAX_PER_TARGET} times an hour for each and {MAX_PER_HOUR} in all",
        "reachprobe leave",
    ):
        assert words in text
    assert max(len(line) for line in consent.text().splitlines()) <= 100


def test_agreeing_is_recorded_with_hash_and_time(tmp_path: Path) -> None:
    with pytest.raises(consent.ConsentError, match="no consent yet"):
        consent.require(tmp_path)
    consent.agree(tmp_path, consent.digest(), NOW)
    assert consent.require(tmp_path) == consent.digest()
    assert consent.recorded(tmp_path) == consent.Agreement(hash=consent.digest(), agreed=NOW)


def test_another_hash_is_no_consent(tmp_path: Path) -> None:
    with pytest.raises(consent.ConsentError, match="not the hash of the current"):
        consent.agree(tmp_path, "0" * 16, NOW)
    assert consent.recorded(tmp_path) is None


def test_a_new_text_needs_a_new_agreement(tmp_path: Path) -> None:
    old = consent.Agreement(hash=consent.digest("older words"), agreed=NOW)
    (tmp_path / consent.FILE).write_bytes(msgspec.json.encode(old))
    with pytest.raises(consent.ConsentError, match="has changed"):
        consent.require(tmp_path)


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / consent.FILE).write_bytes(b"{")
    with pytest.raises(consent.ConsentError, match="agree again"):
        consent.require(tmp_path)
