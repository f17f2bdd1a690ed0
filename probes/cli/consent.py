# SPDX-License-Identifier: Apache-2.0
"""The volunteer's consent: the consent text, its hash, and the record of the agreement.

Consent is given to one text only, in whichever language it was read. When the English text changes,
its hash changes, and the volunteer has to agree again. A translation says what the English says: a
correction of its wording alone asks nobody again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import msgspec

from probes import state_directory
from probes.cli.terminal import volunteers_language
from probes.words import LANGUAGES, say

FILE = "consent.json"


class ConsentError(Exception):
    """There is no consent to the present text. The message is one line that says how to give it."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an agreement."""

    hash: str
    agreed: dt.datetime
    """UTC."""


def text(language: str = LANGUAGES[0]) -> str:
    """Return the current consent text in a language; an empty line parts its paragraphs."""
    name = "consent.txt" if language == LANGUAGES[0] else f"consent.{language}.txt"
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def digest(words: str | None = None) -> str:
    """Return the first 16 hex digits of the SHA-256 of an English text, by default the present
    one: the version that every language shares."""
    return hashlib.sha256((text() if words is None else words).encode()).hexdigest()[:16]


def agree(directory: Path, given: str, now: dt.datetime) -> None:
    """Record the agreement to the present text. Raises ConsentError when `given` is the hash of
    another text, StateError when the record cannot be written."""
    if given != digest():
        raise ConsentError(say(volunteers_language(), "other_agreement", hash=given))
    agreement = Agreement(hash=given, agreed=now.astimezone(dt.UTC).replace(microsecond=0))
    state_directory.write(directory / FILE, msgspec.json.encode(agreement) + b"\n")


def recorded(directory: Path) -> Agreement | None:
    """Return the recorded agreement, to any text. Raises ConsentError for a damaged record."""
    path = directory / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Agreement)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConsentError(
            f"{path}: unreadable ({error}); agree again with --accept-risks"
        ) from None


def require(directory: Path) -> str:
    """Return the hash of the present text if it was agreed to. Raises ConsentError."""
    found = recorded(directory)
    if found is None:
        raise ConsentError(say(volunteers_language(), "no_agreement"))
    if found.hash != digest():
        raise ConsentError(say(volunteers_language(), "old_agreement"))
    return found.hash
