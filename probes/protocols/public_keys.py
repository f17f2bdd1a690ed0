# SPDX-License-Identifier: Apache-2.0
"""Random public keys of P-256 and X25519, as the apps send them, without a private key.

The handshakes are never finished, so the private key is not needed; but a server or a censor may
examine whether it received a valid key. Drawn uniformly from all keys, so like a real one.
"""

from __future__ import annotations

from collections.abc import Callable

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""
# SP 800-186: P-256 is y^2 = x^3 - 3x + b, and every point on it is a public key (cofactor 1).
_P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B256 = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
# RFC 7748: Curve25519 is v^2 = u^3 + 486662 u^2 + u, cofactor 8.
_P25519 = 2**255 - 19
_A25519 = 486662


def p256(entropy: Entropy) -> bytes:
    """A random point of P-256, uncompressed (SEC 1): 65 bytes that begin with 4."""
    while True:
        drawn = entropy(33)
        x = int.from_bytes(drawn[:32], "big")
        square = (x * x * x - 3 * x + _B256) % _P256
        y = pow(square, (_P256 + 1) // 4, _P256)
        if x < _P256 and y * y % _P256 == square:
            y = _P256 - y if drawn[32] & 1 else y
            return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def x25519(entropy: Entropy) -> bytes:
    """A random public key of X25519: 32 bytes, little-endian."""
    while True:
        u = int.from_bytes(entropy(32), "little") % 2**255
        square = (u * u * u + _A25519 * u * u + u) % _P25519
        if not 1 < u < _P25519 or pow(square, (_P25519 - 1) // 2, _P25519) != 1:
            continue
        for _ in range(3):  # eight times a point lies in the subgroup of genuine keys
            under = 4 * u * (u * u + _A25519 * u + 1) % _P25519
            u = (u * u - 1) ** 2 * pow(under, -1, _P25519) % _P25519 if under else 0
        if u:
            return u.to_bytes(32, "little")
