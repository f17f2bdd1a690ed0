"""Who showed a certificate: leaf, key and authority."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from monitor.detection.observed.certificate import NOBODY, ShownBy, shown_by
from probes.wire.certificate_identity import identity_of
from probes.wire.observation import Certificate
from tests.lab.trust import Authority, self_sign


def shown(der: bytes) -> ShownBy:
    return shown_by([Certificate(sha256=hashlib.sha256(der).hexdigest(), der=der)])


def issued(folder: Path, authority: Authority | None, name: str) -> bytes:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    if authority is None:
        self_sign(name, certificate, key)
    else:
        authority.issue([name], certificate, key)
    leaf, mark, _ = certificate.read_text().partition("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(leaf + mark)


def test_one_authority_signs_for_two_names(tmp_path: Path) -> None:
    stranger, other = Authority("Stranger"), Authority("Other")
    first, second = (issued(tmp_path, stranger, name) for name in ("a.test", "b.test"))
    third = issued(tmp_path, other, "c.test")
    assert shown(first).same(shown(second))
    assert not shown(first).same(shown(second), authority=False)
    assert not shown(first).same(shown(third))
    assert shown(first).same(shown(first), authority=False)


def test_what_signs_itself_has_no_authority(tmp_path: Path) -> None:
    first, second = (issued(tmp_path, None, name) for name in ("a.test", "b.test"))
    assert shown(first).authority == b""
    assert not shown(first).same(shown(second))


def test_a_hash_alone_is_compared_with_hashes() -> None:
    assert shown_by([Certificate(sha256="a" * 64)]) == ShownBy("a" * 64)
    assert shown_by([]) == NOBODY
    assert not NOBODY.same(NOBODY)


def test_what_a_probe_sends_is_believed_where_it_keeps_no_bytes(tmp_path: Path) -> None:
    der = issued(tmp_path, Authority("Stranger"), "a.test")
    sent = Certificate(sha256="a" * 64, **identity_of(der)._asdict())
    assert shown_by([sent]).same(shown(der), authority=False)
    contradicted = Certificate(sha256="a" * 64, der=der, key=b"another.")
    assert shown_by([contradicted]).key == identity_of(der).key
