"""What is kept of a chain: hashes when it was good, the bytes when it was refused."""

from __future__ import annotations

import hashlib

from probes.net.certificates import MAX_CHAIN, MAX_DER_BYTES, kept

LEAF, ROOT = b"leaf", b"root"


def test_the_hash_of_the_leaf_of_a_good_chain() -> None:
    (only,) = kept([LEAF, ROOT], whole=False)
    assert (only.sha256, only.der) == (hashlib.sha256(LEAF).hexdigest(), b"")


def test_all_of_a_refused_chain() -> None:
    assert [each.der for each in kept([LEAF, ROOT], whole=True)] == [LEAF, ROOT]


def test_nothing_of_none() -> None:
    assert kept([], whole=True) == kept([], whole=False) == ()


def test_bounds() -> None:
    large = bytes(MAX_DER_BYTES + 1)
    (only,) = kept([large], whole=True)
    assert (only.sha256, only.der) == (hashlib.sha256(large).hexdigest(), b"")
    assert len(kept([LEAF] * 99, whole=True)) == MAX_CHAIN
