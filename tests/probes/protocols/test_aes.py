"""AES-256-CTR against the standard's own vectors and against a real implementation."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols.aes import counter_mode

# NIST SP 800-38A, F.5.5: CTR-AES256.Encrypt.
KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
COUNTER = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
COVERED = bytes.fromhex(
    "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
)


def test_the_standards_example():
    assert counter_mode(KEY, COUNTER, PLAIN) == COVERED
    assert counter_mode(KEY, COUNTER, COVERED) == PLAIN


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16) | st.just(b"\xff" * 16),
    st.binary(max_size=70),
)
def test_as_a_real_implementation(key: bytes, counter: bytes, payload: bytes):
    real = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    assert counter_mode(key, counter, payload) == real.update(payload)
