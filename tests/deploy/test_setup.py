"""What the service `setup` makes, as the programs that use it see it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from monitor.broker import mosquitto
from monitor.commands import options
from tests.world.compiled import compiled

pytestmark = pytest.mark.needs("prometheus-alertmanager", "promtool")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy/monitor/setup.py"


def setup(made: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **compiled(),
        "REACHWATCH_MADE": str(made),
        "REACHWATCH_SHARE": str(ROOT / "deploy"),
        "REACHWATCH_GIVEN": str(made / "given"),
        "REACHWATCH_HOST": "reach.example",
        "REACHWATCH_PUBLIC_URL": "https://reach.example",
        "REACHWATCH_WEBHOOK": "https://pager.example/hook?a=1",
        **variables,
    }
    return subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
    )


def contents(made: Path) -> dict[str, bytes]:
    return {str(p.relative_to(made)): p.read_bytes() for p in made.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    answer = setup(made, REACHWATCH_PACE="10")
    assert (answer.returncode, answer.stderr) == (0, "")
    return made


def test_the_profile_scale_is_scraped(tmp_path: Path) -> None:
    assert setup(tmp_path, REACHWATCH_PROFILES="other,scale").returncode == 0
    read = yaml.safe_load((tmp_path / "prometheus/prometheus.yml").read_text())
    scraped = {
        job["job_name"]: set(job["static_configs"][0]["targets"]) for job in read["scrape_configs"]
    }
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert scraped["reachwatch"] == {"web:8080", "web-2:8080"}
    assert len(scraped["reachwatch-parts"]) == 4
    for target in set().union(*scraped.values()):
        assert target.partition(":")[0] in services


def test_a_second_run_changes_nothing(once: Path) -> None:
    before = contents(once)
    assert setup(once, REACHWATCH_PACE="10").returncode == 0
    assert contents(once) == before


def test_nobody_else_reads_a_secret(once: Path) -> None:
    for name in (
        "authority/ca.key",
        "certificates/privkey.pem",
        "monitor/monitor.secret",
        "monitor/reachwatch.toml",
        "database/password",
        "mosquitto/monitor.passwd",
        "mosquitto/probes.passwd",
    ):
        assert stat.S_IMODE((once / name).stat().st_mode) == 0o600, name
    for folder in ("probe", "control"):
        assert [path.name for path in (once / folder).iterdir()] == ["ca.pem"]


def test_prometheus_and_alertmanager_take_their_files(once: Path) -> None:
    for command in (
        ["promtool", "check", "config", str(once / "prometheus/prometheus.yml")],
        ["amtool", "check-config", str(once / "alertmanager/alertmanager.yml")],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "https://pager.example/hook?a=1" in (once / "alertmanager/alertmanager.yml").read_text()
    assert "https://reach.example/e/" in (once / "prometheus/rules.yml").read_text()
    assert "pace 10" in (once / "prometheus/rules.yml").read_text()


def test_the_monitor_takes_its_options(once: Path) -> None:
    path = once / "monitor/reachwatch.toml"
    given = options.build().read(["collect", "--config", str(path)], {})
    secret = (once / "database/password").read_text().strip()
    assert given.database == f"postgresql+asyncpg://reachwatch:{secret}@postgres:5432/reachwatch"
    assert str(given.mqtt_secret_file) == tomllib.loads(path.read_text())["mqtt_secret_file"]


def test_the_certificate_is_for_every_name_of_the_broker(once: Path) -> None:
    leaf = x509.load_pem_x509_certificate((once / "certificates/fullchain.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["reach.example", "mosquitto", "localhost"]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(once / "certificates/fullchain.pem", once / "certificates/privkey.pem")
    client = ssl.create_default_context(cafile=str(once / "probe/ca.pem"))
    # What Python 3.13 asks of a chain by default.
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    shake(server, client, "mosquitto")


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A handshake in memory. Raises ssl.SSLError when the client does not trust the server."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    waiting = list(ends)
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass


def test_another_name_and_a_stale_one_get_a_new_certificate(once: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(once, made)
    chain = made / "certificates/fullchain.pem"
    before, authority = chain.read_bytes(), (made / "probe/ca.pem").read_bytes()
    assert setup(made, REACHWATCH_HOST="other.example").returncode == 0
    assert chain.read_bytes() != before
    assert (made / "probe/ca.pem").read_bytes() == authority
    leaf = x509.load_pem_x509_certificate(chain.read_bytes())
    assert leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=300)


def test_an_operators_own_certificate_is_taken(once: Path, tmp_path: Path) -> None:
    made, given = tmp_path / "made", tmp_path / "given"
    given.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        shutil.copy(once / "certificates" / name, given)
    answer = setup(made, REACHWATCH_GIVEN=str(given))
    assert answer.returncode == 0, answer.stderr
    for name in ("fullchain.pem", "privkey.pem"):
        assert (made / "certificates" / name).read_bytes() == (given / name).read_bytes()
    (given / "privkey.pem").unlink()
    answer = setup(made, REACHWATCH_GIVEN=str(given))
    assert answer.returncode == 2
    assert answer.stderr == f"setup: {given}/privkey.pem: No such file or directory\n"


def test_a_deleted_secret_is_replaced_and_probes_keep_theirs(once: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(once, made)
    (made / "mosquitto/probes.passwd").write_text("p-1:x\n")
    before = (made / "monitor/monitor.secret").read_text()
    (made / "monitor/monitor.secret").unlink()
    assert setup(made, REACHWATCH_PACE="10").returncode == 0
    secret = (made / "monitor/monitor.secret").read_text()
    assert secret != before
    assert mosquitto.knows_monitor(made / "mosquitto", secret.strip())
    assert not mosquitto.knows_monitor(made / "mosquitto", before.strip())
    assert (made / "mosquitto/probes.passwd").read_text() == "p-1:x\n"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("REACHWATCH_PACE", "0", "whole number from 1"),
        ("REACHWATCH_HOST", "a b", "host name or address"),
        ("REACHWATCH_WEBHOOK", "pager", "http:// or https://"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, variable: str, value: str, words: str) -> None:
    answer = setup(tmp_path, **{variable: value})
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"setup: {variable}: ")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1
