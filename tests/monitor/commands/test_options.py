"""Every option of `reachwatch`, by command line, environment and file."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.options import build
from monitor.store.shard import Shard
from probes.runtime.options import OptionError, Parser
from tests.probes.runtime.every_option import read_every_way

DAY_MS = 86_400_000
VALUES: dict[str, tuple[str, Any]] = {
    "alertmanager": ("true", True),
    "allow_private": ("true", True),
    "asn": ("AS12455", 12455),
    "authority": ("ca.pem", Path("ca.pem")),
    "certificate": ("c.pem", Path("c.pem")),
    "archive": ("a", Path("a")),
    "before": ("1970-01-02", DAY_MS),
    "broker": ("mqtts://b", "mqtts://b"),
    "catalogue": ("c", Path("c")),
    "control": ("b.jsonl", "b.jsonl"),
    "country": ("ke", "KE"),
    "container": ("true", True),
    "countries": ("ke,UG", ("KE", "UG")),
    "chain": ("c.json", Path("c.json")),
    "data": ("d", Path("d")),
    "database": ("sqlite+aiosqlite:///x", "sqlite+aiosqlite:///x"),
    "demo": ("true", True),
    "demo_block": ("none", "none"),
    "expires": ("24h", 86400),
    "fingerprints": ("f", Path("f")),
    "finish": ("true", True),
    "follow": ("ooni", "ooni"),
    "format": ("jsonl", "jsonl"),
    "host": ("Reach.example", "reach.example"),
    "webhooks": ("hooks.toml", Path("hooks.toml")),
    "from": ("1970-01-02", DAY_MS),
    "heartbeat": ("http://h.example", "http://h.example"),
    "hours_older_than": ("2w", 14 * 86400),
    "http": ("[::1]:80", ("::1", 80)),
    "import_tickets": ("true", True),
    "interval": ("60", 60),
    "json": ("true", True),
    "key": ("k.pem", Path("k.pem")),
    "markdown": ("pages", Path("pages")),
    "metrics": ("127.0.0.1:0", ("127.0.0.1", 0)),
    "monitor_port": ("1884", 1884),
    "mosquitto_passwords": ("p", Path("p")),
    "mosquitto_pid": ("m.pid", Path("m.pid")),
    "mqtt": ("127.0.0.1:0", ("127.0.0.1", 0)),
    "mqtt_secret_file": ("s", Path("s")),
    "mqtt_user": ("u", "u"),
    "networks": ("true", True),
    "new_key": ("true", True),
    "no_local_probe": ("true", True),
    "no_retests": ("true", True),
    "replace_key": ("true", True),
    "retention": ("2w", 14 * 86400),
    "serial": ("1800000000", 1_800_000_000),
    "shard": ("1/2", Shard(1, 2)),
    "once": ("true", True),
    "rate": ("0.5", 0.5),
    "source": ("http://b.example/c", "http://b.example/c"),
    "summary": ("true", True),
    "tests": ("signal,telegram", ("signal", "telegram")),
    "older_than": ("2w", 14 * 86400),
    "output": ("x.csv", Path("x.csv")),
    "owner": ("Ann", "Ann"),
    "pace": ("4", 4),
    "port": ("8884", 8884),
    "processes": ("3", 3),
    "probe": ("a.jsonl", "a.jsonl"),
    "proxy": ("10.0.0.0/8,::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    "way": ("https://reach.example,wss://b.example", ("https://reach.example", "wss://b.example")),
    "prometheus": ("true", True),
    "public_key": ("a" * 64, "a" * 64),
    "excerpts": ("true", True),
    "public_url": ("https://w.example", "https://w.example"),
    "role": ("control", "control"),
    "runbooks": ("https://r.example", "https://r.example"),
    "service": ("wechat", "wechat"),
    "signed_catalogue": ("c.signed", Path("c.signed")),
    "since": ("1970-01-02", DAY_MS),
    "target": ("wechat/messaging", "wechat/messaging"),
    "to": ("1970-01-02", DAY_MS),
    "until": ("1970-01-02", DAY_MS),
    "geo": ("geo.table", Path("geo.table")),
    "user": ("u", "u"),
    "uses": ("3", 3),
    "webhook": ("http://w.example", "http://w.example"),
    "websockets_port": ("8443", 8443),
    "window": ("5m", 300),
    "without": ("ooni", ("ooni",)),
    "yes": ("true", True),
}
OWN = {
    "serve": {"broker": ("mqtt://a,mqtts://b", ("mqtt://a", "mqtts://b"))},
    "follow ooni": {"since": ("30d", 30 * 86400)},
    "up": {"since": ("30d", 30 * 86400)},
    "db move": {"to": ("postgresql://x", "postgresql://x")},
}
POSITIONAL = {"broker rotate": ("secret", "x")} | dict.fromkeys(
    [
        "broker init",
        "catalogue publish",
        "catalogue sign",
        "explain",
        "fingerprints import",
        "import ooni",
        "probes revoke",
        "probes revoke-key",
        "probes trust",
        "token revoke",
        "verify",
    ],
    ("x",),
)
LEAVES = list(build().leaves())


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_every_option_by_all_three_ways(leaf: Parser, tmp_path: Path) -> None:
    values = VALUES | OWN.get(leaf.path, {})
    read_every_way(build(), leaf, values, tmp_path, POSITIONAL.get(leaf.path, ()))


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_help_is_complete(leaf: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build().read([*leaf.path.split(), "--help"], {})
    text = capsys.readouterr().out
    assert all(option.flag in text for option in leaf.options.values())


@pytest.mark.parametrize(
    "words",
    [["import", "ooni"], ["import"], ["export", "xml"], ["fingerprints", "import"], ["explain"]],
)
def test_what_is_missing_or_unknown_is_one_line(words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        build().read(words, {})
    assert "\n" not in str(caught.value)
