# SPDX-License-Identifier: Apache-2.0
"""Renewal of the keys that probes sign with: JSON bytes in and out; HTTP is elsewhere."""

from __future__ import annotations

import msgspec

from monitor.enrolment import verify_secret
from monitor.signatures import is_signed, proves_possession
from monitor.store.records import ProbeKey, StoreUnavailableError
from monitor.store.registry import Registry
from probes.wire.batch_signature import NewKey, key_id, key_text

MOST_KEYS = 100
"""Keys of one probe, those that it had included."""


async def key_answer(registry: Registry, body: bytes, now: int) -> tuple[int, bytes]:
    """HTTP status and JSON for `POST /api/v1/key`: a `NewKey` in; out comes {"key": its id} or
    {"error"}. `now` is Unix milliseconds."""
    try:
        wanted = msgspec.json.decode(body, type=NewKey)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return 400, _error(f"key: {error}")
    try:
        refusal = await _renew(registry, wanted, now)
    except StoreUnavailableError:
        return 503, _error("the store is not available, try again in a minute")
    if refusal:
        return 403, _error(refusal)
    return 200, msgspec.json.encode({"key": key_id(wanted.public_key)})


async def _renew(registry: Registry, wanted: NewKey, now: int) -> str:
    """Take a key; return why it is not taken, empty when it is. It replaces the one in use only if
    that has signed it: an operator revokes a key that was lost."""
    kept = await registry.secret_hash(wanted.probe)
    if kept is None or not verify_secret(kept, wanted.secret):
        return "the probe or its secret is unknown"
    if not proves_possession(wanted.probe, wanted.public_key, wanted.signature):
        return "the key did not sign itself"
    keys = await registry.keys(wanted.probe)
    named = next((each for each in keys if each.id == key_id(wanted.public_key)), None)
    if named is not None:
        if named.revoked is not None or named.public_key != wanted.public_key:
            return "this key was in use and is revoked: make another one"
        return ""  # sent again
    if len(keys) >= MOST_KEYS:
        return f"this probe has had {MOST_KEYS} keys"
    text = key_text(wanted.probe, wanted.public_key)
    for each in keys:
        if each.revoked is None and not is_signed(each.public_key, wanted.endorsement, text):
            return "the key in use did not sign the new one: ask your operator to revoke it"
    key = ProbeKey(
        probe=wanted.probe,
        id=key_id(wanted.public_key),
        public_key=wanted.public_key,
        since=now,
    )
    await registry.replace_key(key, [each.id for each in keys if each.revoked is None])
    return ""


def _error(reason: str) -> bytes:
    return msgspec.json.encode({"error": reason})
