# SPDX-License-Identifier: Apache-2.0
"""Create the secrets, certificates and configuration that docker-compose.yml's services need.

Runs repeatedly, as the service `setup` in the monitor's image. Existing files are kept, and the
certificate is renewed in time. Each service sees only the folder that it needs. Bad input gives one
line on stderr and exit status 2.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.alerts import routing, rules_file, scraping
from monitor.broker import mosquitto
from monitor.broker.mosquitto import Layout
from monitor.detection.policy import Policy
from monitor.paths import ensure_secret
from probes.runtime.options import OptionError, positive

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""The longest validity that browsers accept (CA/Browser Forum, 2020-09-01)."""
RENEW_DAYS = 30
DATABASE = "postgresql+asyncpg://reachwatch:{secret}@postgres:5432/reachwatch"
BROKER = Layout(directory="/made")
"""The volume's path in mosquitto's container. Certificates and pid file have their usual paths."""
SHARE = Path("/usr/local/share/reachwatch")


def main(environment: Mapping[str, str]) -> int:
    """Create all files once; return the exit status."""
    try:
        make(environment)
    except OptionError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"setup: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def make(environment: Mapping[str, str]) -> None:
    """Create all files once. Raises OptionError and OSError."""
    made = Path(environment.get("REACHWATCH_MADE") or "/made")
    share = Path(environment.get("REACHWATCH_SHARE") or SHARE)
    host = _name(environment.get("REACHWATCH_HOST") or "localhost")
    url = _url(environment, "REACHWATCH_PUBLIC_URL", "http://127.0.0.1:8080")
    webhook = _url(environment, "REACHWATCH_WEBHOOK", "")
    try:
        policy = Policy(pace=positive(environment.get("REACHWATCH_PACE") or "1"))
    except Exception as error:
        raise OptionError(f"REACHWATCH_PACE: {error}") from None
    certificates(made, Path(environment.get("REACHWATCH_GIVEN") or "/given"), host)
    passwords(made)
    runbooks = _url(environment, "REACHWATCH_RUNBOOKS", "")
    put(made / "prometheus/rules.yml", rules_file.render(policy, url, runbooks), 0o644)
    targets, parts = (scraping.TARGET,), scraping.PARTS
    if "scale" in (environment.get("REACHWATCH_PROFILES") or "").split(","):
        targets, parts = (*targets, scraping.SECOND_TARGET), (*parts, *scraping.SECOND_PARTS)
    put(made / "prometheus/prometheus.yml", scraping.render(policy, targets, parts=parts), 0o644)
    heartbeat = _url(environment, "REACHWATCH_HEARTBEAT", "")
    routes = routing.render(policy, webhook, heartbeat)
    put(made / "alertmanager/alertmanager.yml", routes, 0o644)
    for template in sorted((share / "alertmanager/templates").glob("*.tmpl")):
        text = template.read_text(encoding="utf-8")
        put(made / "alertmanager/templates" / template.name, text, 0o644)


def passwords(made: Path) -> None:
    """Create the monitor's secrets for broker and database, and the password of Grafana's admin."""
    for folder in ("monitor", "database", "mosquitto"):
        (made / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = ensure_secret(made / "monitor/monitor.secret")
    broker = made / "mosquitto"
    if not (broker / mosquitto.PROBES).exists():
        mosquitto.write_configuration(broker, BROKER, secret)
    put(broker / mosquitto.CONFIGURATION, mosquitto.configuration(BROKER), 0o644)
    put(broker / mosquitto.ACCESS, mosquitto.access_list(), 0o600)
    database = ensure_secret(made / "database/password")
    options = {
        "database": DATABASE.format(secret=database),
        "mqtt_secret_file": "/made/monitor/monitor.secret",
    }
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
    put(made / "monitor/reachwatch.toml", lines, 0o600)
    if not (made / "grafana/password").exists():
        # Grafana runs as another user, and only its container mounts this folder.
        put(made / "grafana/password", secrets.token_urlsafe(18), 0o644)


def certificates(made: Path, given: Path, host: str) -> None:
    """Create the broker's certificate: the operator's own if given, else one from a private CA,
    which the probes in the compose file trust."""
    place = made / "certificates"
    chain, key = given / "fullchain.pem", given / "privkey.pem"
    authority, authority_key = _authority(made / "authority")
    pem = authority.public_bytes(serialization.Encoding.PEM).decode()
    for audience in ("probe", "control"):
        put(made / audience / "ca.pem", pem, 0o644)
    if chain.exists() or key.exists():
        x509.load_pem_x509_certificates(_read(chain).encode())
        put(place / "privkey.pem", _read(key), 0o600)
        put(place / "fullchain.pem", _read(chain), 0o644)
        return
    names = [host, "mosquitto", "localhost"]
    if not _fresh(place / "fullchain.pem", authority, names):
        leaf, leaf_key = _leaf(authority, authority_key, names)
        put(place / "privkey.pem", _private(leaf_key), 0o600)
        text = leaf.public_bytes(serialization.Encoding.PEM).decode() + pem
        put(place / "fullchain.pem", text, 0o644)


def put(path: Path, text: str, mode: int) -> None:
    """Write a file unless it already has this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        mosquitto.write(path, text, mode)


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if (folder / "ca.pem").exists():
        key = serialization.load_pem_private_key(_read(folder / "ca.key").encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(_read(folder / "ca.pem").encode()), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Reachwatch broker authority")])
    builder = _builder(name, name, key, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(ca=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    put(folder / "ca.key", _private(key), 0o600)
    put(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM).decode(), 0o644)
    return certificate, key


def _leaf(
    authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey, names: Sequence[str]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name has at most 64 characters; clients check the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = _builder(subject, authority.subject, key, CERTIFICATE_DAYS)
    for extension, critical in (
        (x509.SubjectAlternativeName([_alternative(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(ca=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256()), key


def _fresh(path: Path, authority: x509.Certificate, names: Sequence[str]) -> bool:
    """Whether our certificate for these names exists and is not due for renewal."""
    if not path.exists():
        return False
    leaf = x509.load_pem_x509_certificate(_read(path).encode())
    kept = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
    wanted = x509.SubjectAlternativeName([_alternative(name) for name in names])
    return (
        leaf.issuer == authority.subject
        and list(kept) == list(wanted)
        and lasts > dt.timedelta(days=RENEW_DAYS)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Valid since yesterday, because the clocks of small machines may be slow.
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days - 1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: {getattr(error, 'strerror', None) or 'not PEM'}") from None


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}", text):
        raise OptionError(f"REACHWATCH_HOST: must be a host name or address, not {text!r}")
    return text.lower()


def _url(environment: Mapping[str, str], key: str, default: str) -> str:
    text = environment.get(key) or default
    if text and not re.fullmatch(r"https?://[^\s\"'\\]+", text):
        raise OptionError(f"{key}: must be an http:// or https:// URL, not {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main(os.environ))
