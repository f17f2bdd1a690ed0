"""Telegram's first exchange: the request, and every reply that may come."""

from __future__ import annotations

import hashlib
import os
import struct

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import mtproto
from probes.steps.app import NoReply, Reply

NOW_MS = 1_795_000_000_123
NONCE = bytes(range(16))
KEY = next(iter(mtproto.KNOWN_KEYS))
# As tdesktop 006cadcc carries it (kPublicRSAKeys).
PEM = b"""-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEA6LszBcC1LGzyr992NzE0ieY+BSaOW622Aa9Bd4ZHLl+TuFQ4lo4g
5nKaMBwK/BIb9xUfg0Q29/2mgIR6Zr9krM7HjuIcCzFvDtr+L0GQjae9H0pRB2OO
62cECs5HKhT5DZ98K33vmWiLowc621dQuwKWSQKjWf50XYFw42h21P2KXUGyp2y/
+aEyZ+uVgLLQbRA1dEjSDZ2iGRy12Mk5gpYc397aYp438fsJoHIgJ2lgMv5h7WY9
t6N/byY9Nw9p21Og3AoXSL2q/2IJ1WRUhebgAdGVMlV1fkuOQoEzR7EdpqtQD9Cs
5+bfo3Nhmcyvk5ftB0WkJ9z6bNZ7yxrP8wIDAQAB
-----END RSA PUBLIC KEY-----
"""


def res_pq(nonce: bytes = NONCE, *keys: int, constructor: int = 0x05162463) -> bytes:
    body = struct.pack("<I", constructor) + nonce + os.urandom(16)
    body += b"\x08" + os.urandom(8) + bytes(3)
    body += struct.pack(f"<II{len(keys)}Q", 0x1CB5C415, len(keys), *keys)
    message = struct.pack("<QQI", 0, 5, len(body)) + body
    return bytes((len(message) // 4,)) + message


def uncovered(hello: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(hello[8:40]), modes.CTR(hello[40:56]))
    return cipher.decryptor().update(hello)


def test_the_request():
    request = mtproto.request(NOW_MS)
    hello = request.payload
    assert len(hello) == 64 + 1 + 40
    plain = uncovered(hello)
    assert plain[56:60] == b"\xef" * 4
    assert plain[64] == 10
    key, message_id, length, constructor = struct.unpack_from("<QQII", plain, 65)
    assert (key, length, constructor) == (0, 20, 0xBE7E8EF1)
    assert message_id % 4 == 0
    assert abs((message_id >> 32) - NOW_MS // 1000) <= 1
    assert mtproto.request(NOW_MS).payload[:56] != hello[:56]


def test_starts_that_mean_another_transport_are_drawn_again():
    bad = iter([b"\xef" + bytes(63), b"POST" + b"x" * 60, b"abcd" + bytes(60)])

    def entropy(size: int) -> bytes:
        return next(bad, b"") or os.urandom(size)

    start = mtproto.request(NOW_MS, entropy).payload
    assert start[:4] not in (b"POST", b"abcd")
    assert start[0] != 0xEF
    assert next(bad, None) is None


def test_an_answer_under_its_disguise():
    request = mtproto.request(NOW_MS)
    nonce = uncovered(request.payload)[-16:]
    back = request.payload[8:56][::-1]
    answer = res_pq(nonce, 1, KEY)
    covered = Cipher(algorithms.AES(back[:32]), modes.CTR(back[32:])).encryptor().update(answer)
    assert request.parse(covered) == Reply("res_pq", ("known_key",))
    assert request.parse(covered[:50]) is NoReply.INCOMPLETE
    assert request.parse(b"HTTP/1.1 400 Bad Request\r\n") is NoReply.FOREIGN


def test_answers():
    read = mtproto.parse
    assert read(res_pq(NONCE, KEY), NONCE) == Reply("res_pq", ("known_key",))
    assert read(res_pq(NONCE, 1), NONCE) == Reply("res_pq")
    assert read(b"\x7f\x15\0\0" + res_pq(NONCE, KEY)[1:], NONCE) == Reply("res_pq", ("known_key",))
    assert read(b"\x01" + struct.pack("<i", -404), NONCE) == Reply("transport_error")
    assert read(b"\x01" + struct.pack("<i", 404), NONCE) is NoReply.FOREIGN
    assert read(res_pq(bytes(16), KEY), NONCE) is NoReply.FOREIGN
    assert read(res_pq(NONCE, KEY, constructor=1), NONCE) is NoReply.FOREIGN
    assert read(b"\x02" + bytes(8), NONCE) is NoReply.FOREIGN
    assert read(b"\x7f\xff\xff\xff", NONCE) is NoReply.FOREIGN
    assert read(b"\x7f", NONCE) is NoReply.INCOMPLETE
    assert read(b"", NONCE) is NoReply.INCOMPLETE


def test_every_part_of_an_answer_is_incomplete():
    whole = res_pq(NONCE, KEY)
    assert {mtproto.parse(whole[:n], NONCE) for n in range(len(whole))} == {NoReply.INCOMPLETE}


@given(st.binary(max_size=600), st.integers(0, 120))
def test_any_bytes_can_be_parsed(noise: bytes, at: int):
    request = mtproto.request(NOW_MS)
    assert isinstance(request.parse(noise), Reply | NoReply)
    bent = bytearray(res_pq(NONCE, KEY))
    bent[at % len(bent) :] = noise
    assert isinstance(mtproto.parse(bytes(bent), NONCE), Reply | NoReply)


def test_known_keys_are_telegrams():
    key = load_pem_public_key(PEM)
    assert isinstance(key, RSAPublicKey)
    numbers = key.public_numbers()
    serialised = b"\xfe\x00\x01\x00" + numbers.n.to_bytes(256, "big")
    serialised += b"\x03" + numbers.e.to_bytes(3, "big")
    assert int.from_bytes(hashlib.sha1(serialised).digest()[-8:], "little") == KEY
