"""The private key and its file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monitor.signatures import fault_of_batch, is_signed
from monitor.store.records import ProbeKey
from probes.delivery import signing_key
from probes.delivery.signing_key import SigningKeyError
from probes.wire.batch_signature import line_hashes
from probes.wire.codec import BatchHeader, decode_batch, encode_batch

LINES = [b'{"a":1}', b'{"b":2}']


def test_a_key_is_kept_private_and_signs_the_same_after_it(tmp_path: Path) -> None:
    assert signing_key.load(tmp_path) is None
    key = signing_key.make()
    key.save(tmp_path)
    assert (tmp_path / signing_key.FILE).stat().st_mode & 0o777 == 0o600
    kept = signing_key.load(tmp_path)
    assert kept is not None
    assert (kept.public, kept.id) == (key.public, key.public[:16])
    assert is_signed(key.public, kept.sign(b"text").hex(), b"text")
    assert not is_signed(key.public, kept.sign(b"text").hex(), b"texts")


def test_a_signed_batch_is_verified_from_its_bytes() -> None:
    key = signing_key.make()
    header = key.signed(BatchHeader(boot="b", sequence=3), LINES)
    batch = decode_batch(encode_batch(header, LINES))
    keys = [ProbeKey(probe="p-1", id=key.id, public_key=key.public, since=1)]
    assert fault_of_batch(batch.header, line_hashes(batch.lines), keys) is None


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "\ud800"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / signing_key.FILE).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(SigningKeyError, match=r"signing\.key: damaged: ask your operator"):
        signing_key.load(tmp_path)


def test_without_the_package_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing_key.make().save(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    for use in (signing_key.make, lambda: signing_key.load(tmp_path)):
        with pytest.raises(SigningKeyError, match="cryptography is missing: pip install"):
            use()
