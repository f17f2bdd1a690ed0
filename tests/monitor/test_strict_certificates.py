"""Certificates of private authorities, looked at as clients look at them."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.strict_certificates import authority_certificate, server_certificate, valid_for


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_an_authority_signs_a_server_of_any_names_and_addresses() -> None:
    own, validity = key(), valid_for(30)
    authority = authority_certificate("An authority", own, validity)
    long = f"{'a' * 60}.example.org"
    leaf = server_certificate([long, "192.0.2.7", "2001:db8::7"], key(), validity, (authority, own))
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [long]
    addresses = [ipaddress.ip_address(text) for text in ("192.0.2.7", "2001:db8::7")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    ids = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert ids.key_identifier == issuer.digest


def test_without_an_authority_a_certificate_signs_itself() -> None:
    leaf = server_certificate(["a.example"], key(), valid_for(30), None)
    leaf.verify_directly_issued_by(leaf)
    assert leaf.subject == leaf.issuer


def test_it_is_valid_since_yesterday_at_least() -> None:
    now = dt.datetime.now(dt.UTC)
    begin, end = valid_for(397)
    assert begin <= now - dt.timedelta(hours=23)
    assert end - begin == dt.timedelta(days=397)
    assert valid_for(60, before=30)[0] < now - dt.timedelta(days=29)
