import datetime as dt
import re
from pathlib import Path

import msgspec
import pytest

from probes.cli import consent
from probes.rounds.retests import MAX_PER_HOUR, MAX_PER_TARGET
from probes.words import LANGUAGES

NOW = dt.datetime(2026, 11, 25, 1, 2, 3, tzinfo=dt.UTC)
TRANSLATED = "d6b5368a670d31ec"
"""The English text that the translations translate: when it changes, change them with it."""
SENTENCE = re.compile(r"\.(?=\s|$)|。")
EXACT = re.compile(
    r"`[^`]+`|--[a-z-]+(?: none)?|\d+"
    r"|\b(?:Reachwatch|WhatsApp|Signal|WeChat|VPN|Tor|DNS|AS|IP)\b",
    re.ASCII,
)
"""What every language writes alike: commands, options, numbers and names."""


def statements(text: str) -> list[tuple[int, list[str]]]:
    """How many sentences each paragraph has, and what is exact in it."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return [(len(SENTENCE.findall(part)), sorted(EXACT.findall(part))) for part in paragraphs]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_states_the_same(language: str) -> None:
    assert consent.digest() == TRANSLATED
    assert consent.text(language) != consent.text()
    assert statements(consent.text(language)) == statements(consent.text())


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_agreement_holds_in_every_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("LANG", f"{language}.UTF-8")
    consent.agree(tmp_path, consent.digest(), NOW)
    for other in LANGUAGES:
        monkeypatch.setenv("LANG", f"{other}.UTF-8")
        assert consent.require(tmp_path) == TRANSLATED


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
