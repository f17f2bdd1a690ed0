# SPDX-License-Identifier: Apache-2.0
"""Create the secrets, certificates and configuration that docker-compose.yml's services need.

Runs repeatedly, as the service `setup` in the monitor's image. Existing files are kept, and the
certificate is renewed in time. Each service sees only the folder that it needs. Bad input gives one
line on stderr and exit status 2.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from monitor.alerts import routing, rules_file, scraping
from monitor.broker import mosquitto
from monitor.broker.certificates import (
    BrokerAuthority,
    is_current,
    issue,
    new_authority,
    read_authority,
    read_pem,
)
from monitor.broker.mosquitto import Layout, put
from monitor.detection.policy import Policy
from monitor.paths import ensure_secret
from probes.runtime.options import OptionError, positive

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
    elif not mosquitto.knows_monitor(broker, secret):
        put(broker / mosquitto.MONITOR, mosquitto.monitor_password(secret), 0o600)
    put(broker / mosquitto.CONFIGURATION, mosquitto.configuration(BROKER), 0o644)
    if not mosquitto.has_access_list(broker):
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
    authority = _authority(made / "authority")
    for audience in ("probe", "control"):
        put(made / audience / "ca.pem", authority.pem, 0o644)
    if chain.exists() or key.exists():
        x509.load_pem_x509_certificates(read_pem(chain).encode())
        put(place / "privkey.pem", read_pem(key), 0o600)
        put(place / "fullchain.pem", read_pem(chain), 0o644)
        return
    names = [host, "mosquitto", "localhost"]
    if not is_current(place / "fullchain.pem", place / "privkey.pem", authority, names):
        issued = issue(authority, names)
        put(place / "privkey.pem", issued.key, 0o600)
        put(place / "fullchain.pem", issued.chain, 0o644)


def _authority(folder: Path) -> BrokerAuthority:
    """The private authority in a folder, which is made if there is none."""
    if not (folder / "ca.pem").exists():
        authority = new_authority()
        put(folder / "ca.key", authority.key_pem, 0o600)
        put(folder / "ca.pem", authority.pem, 0o644)
    return read_authority(folder / "ca.pem", folder / "ca.key")


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
