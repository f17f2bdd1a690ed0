# SPDX-License-Identifier: Apache-2.0
"""AES-256 in counter mode (FIPS 197, SP 800-38A), for the obfuscated transport of MTProto.

The standard library has none, and two hundred bytes a round justify no dependency. It protects
nothing: the key travels in clear beside the ciphertext. Never use it to keep a secret.
"""

from __future__ import annotations

BLOCK = 16
_ROUNDS = 14


def _double(value: int) -> int:
    """Multiply by x in GF(2^8)."""
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _substitutions() -> bytes:
    """The S-box, from powers of the generator 3 and its inverse."""
    box = bytearray(256)
    box[0] = 0x63
    p = q = 1
    while True:
        p ^= _double(p)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        turned = q
        for turn in (1, 2, 3, 4):
            turned ^= ((q << turn) | (q >> (8 - turn))) & 0xFF
        box[p] = turned ^ 0x63
        if p == 1:
            return bytes(box)


_BOX = _substitutions()


def _schedule(key: bytes) -> list[bytes]:
    """The 15 round keys of a key of 32 bytes."""
    words = [key[n : n + 4] for n in range(0, 32, 4)]
    constant = 1
    for n in range(8, 4 * (_ROUNDS + 1)):
        word = words[-1]
        if n % 8 == 0:
            word = bytes(_BOX[b] for b in word[1:] + word[:1])
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _double(constant)
        elif n % 8 == 4:
            word = bytes(_BOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[n - 8], word, strict=True)))
    return [b"".join(words[n : n + 4]) for n in range(0, len(words), 4)]


def _encrypt(keys: list[bytes], block: bytes) -> bytes:
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number in range(1, _ROUNDS + 1):
        # Substitute, and shift row r by r columns (the state is column by column).
        state = [_BOX[state[(n + 4 * (n % 4)) % BLOCK]] for n in range(BLOCK)]
        if number < _ROUNDS:
            for column in range(0, BLOCK, 4):
                a = state[column : column + 4]
                every = a[0] ^ a[1] ^ a[2] ^ a[3]
                for row in range(4):
                    state[column + row] ^= every ^ _double(a[row] ^ a[(row + 1) % 4])
        state = [a ^ b for a, b in zip(state, keys[number], strict=True)]
    return bytes(state)


def counter_mode(key: bytes, counter: bytes, payload: bytes) -> bytes:
    """Encrypt or decrypt (the same) a payload.

    `key` has 32 bytes; `counter` has 16 and counts up as one big-endian number.
    """
    keys = _schedule(key)
    first = int.from_bytes(counter, "big")
    stream = b"".join(
        _encrypt(keys, ((first + n) % (1 << 128)).to_bytes(BLOCK, "big"))
        for n in range(-(-len(payload) // BLOCK))
    )
    return bytes(a ^ b for a, b in zip(payload, stream, strict=False))
