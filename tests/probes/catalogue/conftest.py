"""A small catalogue in a directory, to be broken in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

SERVICE = """\
id = "wechat"
name = "WeChat"
[[target]]
id = "wechat/messaging"
[[target.endpoint]]
host = "long.example"
port = 443
protocol = "tcp"
source = "here"
verified = 2026-11-24
[[target.endpoint]]
address = "192.0.2.7"
port = 443
protocol = "tcp"
source = "here"
verified = 2026-11-24
"""
RESOLVERS = """\
[[resolver]]
id = "one"
udp = "192.0.2.53"
source = "here"
verified = 2026-11-24
"""
CONTROLS = """\
[[liveness]]
host = "example.org"
port = 443
protocol = "tls"
scope = "international"
source = "here"
verified = 2026-11-24
[sni]
innocuous = "example.org"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    (tmp_path / "services/wechat.toml").write_text(SERVICE)
    (tmp_path / "resolvers.toml").write_text(RESOLVERS)
    (tmp_path / "controls.toml").write_text(CONTROLS)
    return tmp_path
