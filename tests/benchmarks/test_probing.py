"""The benchmark of the probe: its accounting, its stand-ins, and what it says of goals."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest

from benchmarks.probing import catalogue, compare, link, standins, whole, worker
from benchmarks.probing.accounting import Spread, cpu_seconds, ratios, rss_mb
from probes.catalogue.load import load
from probes.net.dns_message import build_query, parse_reply
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH
from tests.world.app_servers import BY_PROTOCOL
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS


def test_processor_time_of_a_process_is_what_it_used() -> None:
    busy = subprocess.Popen(
        [sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass\ninput()"],
        stdin=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + HANG_SECONDS
        while cpu_seconds(busy.pid) < 0.38 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.1)
        assert 0.38 <= cpu_seconds(busy.pid) < 1
        assert 3 < rss_mb(busy.pid) < 60
    finally:
        busy.communicate(b"\n")
    assert cpu_seconds(os.getpid()) > 0
    before = time.process_time()
    assert before <= cpu_seconds(os.getpid()) <= time.process_time()
    with pytest.raises(OSError, match="Invalid"):  # it is gone
        cpu_seconds(busy.pid)


def test_each_repeat_has_its_own_ratio() -> None:
    # The second repeat met a busy machine, which slowed both.
    assert ratios([1.0, 3.0, 1.0], [2.0, 6.0, 2.5]).median == 0.5
    assert str(Spread((0.1, 0.3, 0.2))) == "0.200 (0.100-0.300)"


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_the_nameserver_answers_every_name_and_always_alike(qtype: str) -> None:
    asked = build_query("Some.Name.example", qtype)
    raw = standins.reply(asked.payload, answers=2)
    reading = parse_reply(raw, asked, 1)
    assert reading.matches
    assert reading.reply is not None
    assert len(reading.reply.answers) == (2 if qtype == "A" else 1)
    assert dns.message.from_wire(raw).id == asked.id
    again = build_query("some.name.EXAMPLE", qtype)
    second = parse_reply(standins.reply(again.payload, 2), again, 1)
    assert second.reply is not None
    assert second.reply.answers == reading.reply.answers
    other = build_query("other.example", qtype)
    third = parse_reply(standins.reply(other.payload, 2), other, 1)
    assert third.reply is not None
    assert third.reply.answers != reading.reply.answers
    # A type that nobody here has: no answer, not a wrong one.
    odd = asked.payload[:-15] + struct.pack("!HH", 16, 1)
    assert not dns.message.from_wire(standins.reply(odd, 2)).answer


def test_the_copied_catalogue_is_the_shipped_one_without_private_authorities(
    tmp_path: Path,
) -> None:
    catalogue.write_copy(tmp_path / "copy")
    shipped, copy = load(None), load(tmp_path / "copy")
    assert [t.id for t in copy.targets] == [t.id for t in shipped.targets]
    kinds = {e.protocol for t in copy.targets for e in t.endpoints}
    assert {"tcp", "tls", "https", "stun"} <= kinds
    assert kinds.isdisjoint(BY_PROTOCOL), "no stand-in speaks these"
    named = catalogue.certificate_names(["a.example", "b.c.example", "d.c.example"])
    assert named[:2] == ["*.c.example", "a.example"]
    assert sum(map(len, named)) > 2500
    assert any(e.trust for t in shipped.targets for e in t.endpoints)
    assert not any(e.trust for t in copy.targets for e in t.endpoints)
    plain, encrypted = catalogue.ports(shipped)
    assert 443 in encrypted
    assert 80 in plain
    assert not plain & encrypted
    assert "chat.signal.org" in catalogue.names(shipped)
    assert catalogue.places(["192.0.2.1", "192.0.2.2:5353"]) == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 5353),
    ]


def test_the_report_says_which_goals_are_met() -> None:
    costs = compare.Costs(
        ours={"tcp": [0.1], "dns": [0.3], "tls": [0.9]},
        theirs={"tcp": [0.3], "dns": [0.3], "tls": [0.9]},
        requests=[0.1],
    )
    said = "\n".join(compare.report(costs))
    assert "<= 0.5: met" in said
    assert "<= 1.0: met" in said
    assert "<= 0.9: MISSED" in said
    assert costs.net_ratio("tcp").median == pytest.approx(0.5)
    traffic = (2_000_000, 600_000, 500_000, 700_000)
    found = whole.Daemon(2, 3, 0, (1.5, 1.4, 1.6), traffic, (40.0, 51.0))
    said = "\n".join(whole.report(found, full=True))
    assert "0.50% of a core (goal <= 1.0%: met)" in said
    assert "51.0 MB" in said
    assert "MISSED" in said
    # 8,640 rounds of 0.6 MB, or 1,440; the connection.
    assert "a month: 5229 MB" in said
    said = "\n".join(whole.report(found, full=False))
    assert "a month: 909 MB (goal <= 1000: met)" in said


def test_a_month_of_the_link_is_what_the_interface_carried_in_the_time_that_was_played() -> None:
    day = link.Traffic(seconds=1440, counted=31_000_000, own=1, rounds=9, retests=5, stored=1,
                       failing=0)  # fmt: skip
    default = next(profile for profile in link.PROFILES if profile.name == "default")
    assert link.month_bytes(day, default.speed) == 30 * 31_000_000 + CONNECTION_BYTES_PER_MONTH
    said = link.report(default, day)
    assert said[0].startswith("default: 31.00 MB in 1.0 days, 9 rounds, 5 targets again; ")
    assert said[0].endswith("a month: 975 MB (goal <= 1000: met)")


@pytest.mark.rest
@pytest.mark.needs("nginx", "iptables")
def test_the_link_carries_a_round_to_the_monitor() -> None:
    program = Path(link.__file__).parents[1] / "probe.py"
    done = subprocess.run(
        [sys.executable, str(program), "--only", "link", "--seconds", "60"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = {line.partition(":")[0]: line for line in done.stdout.splitlines() if "month" in line}
    assert set(lines) == {profile.name for profile in link.PROFILES}
    assert all(" 0 measurements stored" not in line for line in done.stdout.splitlines())


@pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="no nginx")
async def test_our_worker_measures_what_it_is_asked(tmp_path: Path) -> None:
    """The production path over real servers, as the benchmark drives it."""
    trust = standins.make_trust(tmp_path, ["service.example"])
    tcp, tls = free_port(), free_port()
    config = standins.nginx_config(trust, [str(tcp)], [str(tls)], curve=compare.CURVE)
    arguments = [str(tcp), str(tls), "PORT", "service.example", str(trust.ca), compare.CURVE]
    async with (
        standins.nginx(tmp_path, config, ("127.0.0.1", tls)),
        standins.nameservers([("127.0.0.1", 0)]) as (dns_port, *_),
    ):
        arguments[2] = str(dns_port)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(compare.WORKER), *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate(b"tcp 4\ntls 4\ndns 4\n")
    assert process.returncode == 0
    assert out.split(b"\n")[:3] == [b"4 0", b"8 0", b"8 0"]
    assert worker.QUESTIONS == 2
