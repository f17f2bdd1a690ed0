# SPDX-License-Identifier: Apache-2.0
"""The volunteer's consent: the risks text, its hash, and the record that it was agreed to.

Consent holds for one text only: a text with another hash has to be agreed to anew, so that
nobody runs under words they never saw. Asking people is the command line's business.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import msgspec

from probes import state_directory

FILE = "consent.json"


class ConsentError(Exception):
    """No consent to the present text. The text is one line that says how to give it."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an agreement."""

    hash: str
    agreed: dt.datetime
    """UTC."""


def text() -> str:
    """The present risks text."""
    return Path(__file__).with_name("consent.txt").read_text(encoding="utf-8")


def digest(words: str | None = None) -> str:
    """First 16 hex digits of the SHA-256 of the text (by default the present one)."""
    return hashlib.sha256((text() if words is None else words).encode()).hexdigest()[:16]


def agree(directory: Path, given: str, now: dt.datetime) -> None:
    """Record the agreement to the present text. Raises ConsentError when `given` is the hash
    of another one, StateError when it cannot be written."""
    if given != digest():
        raise ConsentError(
            f"--accept-risks {given}: the present risks text has another hash; "
            "read it with `reachprobe consent`"
        )
    agreement = Agreement(hash=given, agreed=now.astimezone(dt.UTC).replace(microsecond=0))
    state_directory.write(directory / FILE, msgspec.json.encode(agreement) + b"\n")


def recorded(directory: Path) -> Agreement | None:
    """The recorded agreement, to whatever text. Raises ConsentError for a damaged record."""
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
        raise ConsentError(
            "no consent yet: read `reachprobe consent`, then pass --accept-risks HASH"
        )
    if found.hash != digest():
        raise ConsentError(
            "the risks text has changed: read `reachprobe consent`, then pass --accept-risks HASH"
        )
    return found.hash
