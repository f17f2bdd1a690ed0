# SPDX-License-Identifier: Apache-2.0
"""The token by which a probe enrols: one line of text to copy."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

PREFIX = "rch1."


class TokenError(ValueError):
    """A text that is no token. One line, without the secret."""


class EnrolmentToken(msgspec.Struct, frozen=True, kw_only=True):
    """What `rch1.` and the base64url of this JSON says."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    """Base URL of the monitor's web server."""
    id: Annotated[str, Meta(min_length=1, max_length=128)]
    secret: Annotated[str, Meta(min_length=1, max_length=512)]


def encode_token(token: EnrolmentToken) -> str:
    """Return the token as text."""
    return PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def parse_token(text: str) -> EnrolmentToken:
    """Return what a token's text says. Raises TokenError."""
    text = "".join(text.split())  # mail programs break long lines
    if not text.startswith(PREFIX):
        raise TokenError(f"token: must begin with {PREFIX}: copy it as your operator sent it")
    body = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=EnrolmentToken)
    except (binascii.Error, ValueError, RecursionError):
        raise TokenError("token: damaged, copy it again completely") from None
