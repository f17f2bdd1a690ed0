from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from monitor.demo.certificates import make_authority, server_context


def shake(server: ssl.SSLContext, trust: str, name: str) -> str | None:
    """Shake hands in memory, as strictly as Python 3.13 verifies; return the protocol chosen."""
    context = ssl.create_default_context(cadata=trust)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(back, there, server_hostname=name)
    far = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.selected_alpn_protocol()


def test_a_certificate_of_the_authority_is_valid_for_its_names(tmp_path: Path) -> None:
    ca = make_authority("Some CA")
    server = server_context(tmp_path, ("a.test", "b.test"), ca)
    assert shake(server, ca.pem, "b.test") == "http/1.1"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(server, ca.pem, "c.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, make_authority("Some CA").pem, "b.test")


def test_a_forgery_signs_itself(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        shake(server_context(tmp_path, ("a.test",), None), make_authority("CA").pem, "a.test")
    assert caught.value.verify_code == 18  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT


def test_keys_are_nobody_elses_to_read(tmp_path: Path) -> None:
    server_context(tmp_path, ("a.test",), None)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
