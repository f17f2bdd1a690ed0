"""Which batches are taken for those of a probe with a key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.signatures import fault_of_batch, is_signed, proves_possession
from monitor.store.records import ProbeKey
from probes.delivery import signing_key
from probes.wire.batch_signature import SignatureFault, key_text, line_hashes
from probes.wire.codec import BatchHeader

KEY, OTHER = signing_key.make(), signing_key.make()
KNOWN = ProbeKey(probe="p-1", id=KEY.id, public_key=KEY.public, since=1)
REVOKED = msgspec.structs.replace(KNOWN, revoked=2)
PLAIN = BatchHeader(boot="b", sequence=7)
LINES = [b'{"line":1}', b'{"line":2}', b'{"line":3}']
SIGNED = KEY.signed(PLAIN, LINES)


@pytest.mark.parametrize(
    ("header", "keys", "fault"),
    [
        (PLAIN, [], None),
        (SIGNED, [], None),
        (SIGNED, [KNOWN], None),
        (PLAIN, [KNOWN], SignatureFault.UNSIGNED),
        (PLAIN, [REVOKED], SignatureFault.UNSIGNED),
        (SIGNED, [REVOKED], SignatureFault.REVOKED_KEY),
        (OTHER.signed(PLAIN, LINES), [KNOWN], SignatureFault.UNKNOWN_KEY),
        (msgspec.structs.replace(SIGNED, sequence=8), [KNOWN], SignatureFault.WRONG_SIGNATURE),
        (msgspec.structs.replace(SIGNED, boot="c"), [KNOWN], SignatureFault.WRONG_SIGNATURE),
        (msgspec.structs.replace(SIGNED, signature=""), [KNOWN], SignatureFault.WRONG_SIGNATURE),
        (
            msgspec.structs.replace(OTHER.signed(PLAIN, LINES), key=KEY.id),
            [KNOWN],
            SignatureFault.WRONG_SIGNATURE,
        ),
    ],
)
def test_only_what_the_key_in_use_signed_is_taken(
    header: BatchHeader, keys: list[ProbeKey], fault: SignatureFault | None
) -> None:
    assert fault_of_batch(header, line_hashes(LINES), keys) == fault


def test_lines_cannot_change_places_or_be_left_out() -> None:
    for changed in (LINES[:2], LINES[::-1], [*LINES, LINES[0]], []):
        found = fault_of_batch(SIGNED, line_hashes(changed), [KNOWN])
        assert found == SignatureFault.WRONG_SIGNATURE


@given(st.integers(0, 2), st.integers(0, 9), st.integers(1, 255))
def test_no_byte_of_a_line_can_be_changed(line: int, place: int, flip: int) -> None:
    changed = list(LINES)
    bent = bytearray(changed[line])
    bent[place] ^= flip
    changed[line] = bytes(bent)
    found = fault_of_batch(SIGNED, line_hashes(changed), [KNOWN])
    assert found == SignatureFault.WRONG_SIGNATURE


@given(st.text(max_size=130), st.text(max_size=70))
def test_anything_may_be_called_a_signature(signature: str, public: str) -> None:
    assert not is_signed(KEY.public, signature, b"text")
    assert not is_signed(public, KEY.sign(b"text").hex(), b"text") or public == KEY.public


def test_who_gives_a_key_has_it() -> None:
    signature = KEY.sign(key_text("abc", KEY.public)).hex()
    assert proves_possession("abc", KEY.public, signature)
    assert not proves_possession("abd", KEY.public, signature)
    assert not proves_possession("abc", OTHER.public, signature)
