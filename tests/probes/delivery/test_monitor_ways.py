"""The ways that a probe knows, over restarts."""

import io
from pathlib import Path

import pytest

from probes.delivery.announced_ways import TRIAL_ATTEMPTS, TRIAL_MS, WayStage
from probes.delivery.monitor_ways import FILE, MonitorWays, web_server
from probes.delivery.ways import in_order
from probes.log import Log
from probes.runtime.proxy import Proxy

OLD = ("mqtts://old.example", "https://old.example")
NEW = ("https://new.example", "mqtts://new.example")
PROXY = Proxy(scheme="socks5h", host="127.0.0.1", port=9050)


def known(directory: Path | None, proxy: Proxy | None = None, now: int = 1000) -> MonitorWays:
    enrolled = in_order(OLD, proxy)
    return MonitorWays(enrolled, proxy, directory, now_ms=lambda: now, log=Log(io.StringIO()))


def names(ways: MonitorWays) -> list[str]:
    return [f"{way.kind} {way.host[:3]}" for way in ways.ways]


def test_named_ones_come_first_and_proxies_last(tmp_path: Path) -> None:
    ways = known(tmp_path, PROXY)
    assert ways.announce(7, NEW)
    direct = ["mqtts new", "https new", "mqtts old", "https old"]
    assert names(ways) == direct + [f"proxy+{name}" for name in direct]
    assert not ways.announce(7, OLD)


def test_what_replaced_the_enrolment_is_remembered(tmp_path: Path) -> None:
    ways = known(tmp_path)
    ways.announce(7, NEW)
    assert web_server(tmp_path, "https://old.example") == "https://old.example"
    assert names(known(tmp_path)) == ["mqtts new", "https new", "mqtts old", "https old"]
    assert not ways.acknowledged("mqtts://old.example:8883", {})
    assert ways.acknowledged("https://new.example:443", {})
    again = known(tmp_path)
    assert (again.announced.stage, names(again)) == (
        WayStage.IN_USE,
        ["mqtts new", "https new"],
    )
    assert web_server(tmp_path, "https://old.example") == "https://new.example"


def test_those_that_never_answer_are_set_aside(tmp_path: Path) -> None:
    known(tmp_path).announce(7, NEW)
    late = known(tmp_path, now=1000 + TRIAL_MS)
    failures = {"https://new.example:443": TRIAL_ATTEMPTS}
    assert not late.acknowledged("mqtts://old.example:8883", failures)
    failures["mqtts://new.example:8883"] = TRIAL_ATTEMPTS
    assert late.acknowledged("mqtts://old.example:8883", failures)
    assert names(late) == ["mqtts old", "https old"]


def test_what_the_volunteer_chose_is_not_replaced() -> None:
    ways = known(None)
    assert not ways.announce(7, NEW)
    assert names(ways) == ["mqtts old", "https old"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"stage": "x"}'])
def test_a_damaged_file_leaves_those_of_the_enrolment(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert names(known(tmp_path)) == ["mqtts old", "https old"]
