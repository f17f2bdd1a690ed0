"""Random public keys are keys: real implementations take them."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric import ec, x25519

from probes.protocols import public_keys

_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_p256():
    drawn = {public_keys.p256(os.urandom) for _ in range(20)}
    assert len(drawn) == 20
    assert {key[64] & 1 for key in drawn} == {0, 1}
    for key in drawn:
        assert len(key) == 65
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)


def test_x25519():
    drawn = {public_keys.x25519(os.urandom) for _ in range(10)}
    assert len(drawn) == 10
    for key in drawn:
        assert _ladder(_ORDER, int.from_bytes(key, "little")) == 0
        private = x25519.X25519PrivateKey.generate()
        assert any(private.exchange(x25519.X25519PublicKey.from_public_bytes(key)))


def test_what_is_no_point_is_drawn_again():
    calls: list[int] = []

    def entropy(size: int) -> bytes:
        calls.append(size)
        return b"\0" * size if len(calls) == 1 else os.urandom(size)

    assert public_keys.x25519(entropy) != bytes(32)
    assert len(calls) > 1


def _ladder(scalar: int, u: int) -> int:
    """The scalar multiple of a point by RFC 7748's ladder; 0 is the neutral element."""
    p = 2**255 - 19
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in format(scalar, "b"):
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % p, u * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, (aa - bb) * (aa + 121665 * (aa - bb)) % p
        if bit == "1":
            x2, z2, x3, z3 = x3, z3, x2, z2
    return x2 * pow(z2, -1, p) % p if z2 % p else 0
