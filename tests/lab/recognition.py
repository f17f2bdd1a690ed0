"""How a censor on the path knows an app's protocol by its first bytes."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def enough(head: bytes) -> bool:
    """So many bytes tell every protocol known here."""
    return len(head) >= 64 or head[:2] == b"WA"


def recognised(head: bytes, protocol: str) -> bool:
    """The first bytes are this protocol's."""
    if protocol == "whatsapp":
        return head[:2] == b"WA"
    return protocol == "mtproto" and _obfuscated(head)


def _obfuscated(head: bytes) -> bool:
    """MTProto's disguise has no secret in it: whoever reads along can take it off."""
    if len(head) < 64:
        return False
    cipher = Cipher(algorithms.AES(head[8:40]), modes.CTR(head[40:56]))
    return cipher.decryptor().update(head[:64])[56:60] == b"\xef" * 4
