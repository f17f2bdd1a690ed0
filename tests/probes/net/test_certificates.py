"""What is kept of a chain: hashes when it was good, the bytes when it was refused."""

from __future__ import annotations

import hashlib

from probes.net.certificates import MAX_CHAIN, MAX_DER_BYTES, observed
from probes.wire.certificate_identity import identity_of
from tests.world.pki import Authority

LEAF, ROOT = b"leaf", b"root"


def test_the_hash_of_the_leaf_of_a_good_chain() -> None:
    (only,) = observed([LEAF, ROOT], whole=False)
    assert (only.sha256, only.der) == (hashlib.sha256(LEAF).hexdigest(), b"")


def test_all_of_a_refused_chain() -> None:
    assert [each.der for each in observed([LEAF, ROOT], whole=True)] == [LEAF, ROOT]


def test_nothing_of_none() -> None:
    assert observed([], whole=True) == observed([], whole=False) == ()


def test_bounds() -> None:
    large = bytes(MAX_DER_BYTES + 1)
    (only,) = observed([large], whole=True)
    assert (only.sha256, only.der) == (hashlib.sha256(large).hexdigest(), b"")
    assert len(observed([LEAF] * 99, whole=True)) == MAX_CHAIN


def test_of_the_leaf_its_key_and_authority_are_told() -> None:
    leaf = Authority("Stranger").issue("a.test").der
    (good,) = observed([leaf, ROOT], whole=False)
    refused, above = observed([leaf, leaf], whole=True)
    assert (good.key, good.authority) == (refused.key, refused.authority) == identity_of(leaf)
    assert (above.key, above.authority) == (b"", b"")
