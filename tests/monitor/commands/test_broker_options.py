"""Options of `reachwatch broker`, as a newcomer gets them wrong."""

from __future__ import annotations

import re

import pytest

from monitor.commands.options import build
from probes.runtime.options import OptionError


@pytest.mark.parametrize(
    "host", ["reach.example", "192.0.2.1", "2001:db8::1", "::1", "REACH.example"]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    given = build().read(["broker", "init", "DIR", "--host", host], {})
    assert given.host == host.lower()
    assert (given.port, given.monitor_port, given.user) == (None, None, None)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("init DIR --host a_b", "--host: must be a host name or address"),
        ("init DIR --host mqtts://a", "--host: must be a host name or address"),
        ("init DIR --port 65536", "--port: must be from 1 to 65535"),
        ("init DIR --monitor-port 0", "--monitor-port: must be a whole number from 1"),
        ("init", "DIR is missing"),
        ("rotate everything DIR", "invalid choice: 'everything'"),
        ("rotate secret", "DIR is missing"),
    ],
)
def test_what_is_refused(words: str, reason: str) -> None:
    with pytest.raises(OptionError, match=re.escape(reason)):
        build().read(["broker", *words.split()], {})
