"""The daemon as a process: real sockets, a real broker, a small collector."""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from monitor.signed_catalogue import make_key, sign
from probes import status
from probes.cli import consent
from probes.daemon.agent import STOP_SECONDS
from probes.delivery import enrolment
from probes.delivery.enrolment import Enrolment
from probes.delivery.spool import FILE, read_lines
from probes.state_directory import EXCERPTS, set_mark
from probes.wire import codec, topics
from probes.wire.retest import Retest, encode_retest
from tests.probes.delivery.test_spool import PROBE
from tests.probes.test_metrics import ask
from tests.world.collector import FakeCollector, collecting
from tests.world.desk import desk
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.ports import free_port
from tests.world.tiny import environment, running_probe, telltale, tiny_world, write_catalogue
from tests.world.waiting import HANG_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.needs("mosquitto")]

Process = asyncio.subprocess.Process


async def line_of(stream: asyncio.StreamReader | None, words: bytes) -> dict[str, str]:
    """The next line with these words."""
    assert stream is not None
    async with asyncio.timeout(HANG_SECONDS):
        while words not in (line := await stream.readline()):
            assert line, "the probe ended"
    found: dict[str, str] = json.loads(line)
    return found


async def lines_until(stream: asyncio.StreamReader | None, *words: bytes) -> list[dict[str, Any]]:
    """All lines until each of these words was on one."""
    assert stream is not None
    lines: list[bytes] = []
    async with asyncio.timeout(HANG_SECONDS):
        while not all(any(word in line for line in lines) for word in words):
            lines.append(await stream.readline())
            assert lines[-1], "the probe ended"
    return [json.loads(line) for line in lines]


async def ended(process: Process) -> tuple[int, list[str], list[dict[str, Any]]]:
    """Exit code, the ids printed as taken, and the log."""
    async with asyncio.timeout(HANG_SECONDS):
        out, err = await process.communicate()
    taken = [json.loads(line) for line in out.decode().splitlines() if line.endswith("}")]
    assert all(line["event"] == "taken" for line in taken)
    assert process.returncode is not None
    log = [json.loads(line) for line in err.decode().splitlines()]
    return process.returncode, [line["id"] for line in taken], log


def nobody() -> str:
    """URL of a broker that is not there."""
    return f"mqtt://127.0.0.1:{free_port()}"


async def test_from_a_round_to_the_collector_and_a_clean_end(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            collecting(server.port) as collector,
            running_probe(
                state, catalogue, server.url,
                "--country", "fr", "--asn", "64503", "--metrics", "127.0.0.1:0",
            ) as process,
        ):  # fmt: skip
            port = int((await line_of(process.stderr, b'"serving metrics"'))["port"])
            await collector.wait(lambda: len(collector.ids) >= 6)
            _, body = await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert b"\nreachprobe_connected 1\n" in body
            assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[1] == b"ok\n"
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code, taken, log = await ended(process)
            assert code == 0
            # On a very busy machine its own limit may end it, and what is left is on disk.
            in_time = time.monotonic() - begun < STOP_SECONDS - 1
            if in_time:
                assert set(taken) == set(collector.ids)
                await collector.wait(lambda: collector.states[-1].state == "goodbye")
    hello = collector.states[0]
    assert (hello.state, len(hello.consent), len(hello.catalogue)) == ("hello", 16, 12)
    lines = [codec.decode(line) for batch in collector.batches for line in batch.lines]
    assert all(m.round % 1000 == 0 and m.interval_ms == 1000 for m in lines)
    assert {m.vantage.country for m in lines} == {"FR"}
    services = {"wechat/messaging", "wechat/login"}
    assert {m.target for m in lines} == {"liveness/international", *services}
    # One cycle is one batch.
    assert all(len({codec.decode(x).round for x in b.lines}) == 1 for b in collector.batches)
    assert any(len(b.lines) == 3 for b in collector.batches)
    assert {line["event"] for line in log} >= {"round", "expected traffic", "stopped"}
    left = status.load(state)
    assert left is not None
    assert (left.stopped, left.taken) == (True, len(taken))
    assert left.spool_rows == 0 or not in_time


@pytest.mark.parametrize("seed", range(5))
async def test_sigterm_at_any_time_ends_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            collecting(server.port) as collector,
            running_probe(
                tmp_path / "s", catalogue, server.url if seed < 4 else nobody(), interval=0.2
            ) as process,
        ):
            collector.acking = seed != 1
            first = await line_of(process.stdout, b"taken")
            await asyncio.sleep(rng.uniform(0, 0.5))
            process.send_signal(signal.SIGTERM)
            code, taken, log = await ended(process)
            assert code == 0
            taken.append(first["id"])
    here = {codec.decode(line).id for _, line in read_lines(tmp_path / "s", last=10**6)}
    assert set(taken) <= here
    assert len(set(taken) - set(collector.ids)) <= log[-1]["waiting"]


async def test_sigterm_while_the_broker_answers_nothing(tmp_path: Path) -> None:
    """The connect hangs in a thread that nothing can interrupt."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as held:
        for _ in range(2):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        broker = f"mqtt://127.0.0.1:{deaf.getsockname()[1]}"
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            running_probe(tmp_path / "s", catalogue, broker, interval=0.2) as process,
        ):
            await line_of(process.stdout, b"taken")
            process.terminate()
            assert (await ended(process))[0] == 0


async def test_kill_9_of_probe_and_broker_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(9)
    server = Mosquitto(tmp_path / "b")
    server.start()
    taken: set[str] = set()
    turns, unacknowledged = 8, 0
    try:
        async with tiny_world(tmp_path / "c") as catalogue, collecting(server.port) as collector:
            collector.delay = 0.05
            for turn in range(turns):
                collector.acking = turn % 2 == 0
                async with running_probe(
                    tmp_path / "s", catalogue, server.url, interval=0.1
                ) as process:
                    known = taken | set(collector.ids)  # a restart reports the latest again
                    while (new := (await line_of(process.stdout, b"taken"))["id"]) in known:
                        taken.add(new)
                    taken.add(new)
                    await asyncio.sleep(rng.uniform(0.05, 0.5))
                    if turn % 4 == 1:
                        await asyncio.to_thread(server.kill)
                        await asyncio.to_thread(server.start)
                    process.kill()
                    _, ids, _ = await ended(process)
                taken |= set(ids)
                unacknowledged += not taken <= set(collector.ids)
            assert unacknowledged >= turns // 2
            collector.acking = True
            async with running_probe(
                tmp_path / "s", catalogue, server.url, interval=600
            ) as process:
                await collector.wait(lambda: taken <= set(collector.ids))
                process.terminate()
                assert (await ended(process))[0] == 0
    finally:
        server.stop()
    # What arrived unprinted was stored: the process died before it could print, or came last.
    assert len(set(collector.ids) - taken) <= turns + 3


async def test_a_round_is_not_measured_twice_by_a_restart(tmp_path: Path) -> None:
    async with tiny_world(tmp_path / "c") as catalogue:
        for awaited in (b'"round"', b'"next round"'):
            async with running_probe(
                tmp_path / "s", catalogue, nobody(), interval=30_000
            ) as process:
                await line_of(process.stderr, awaited)
                process.terminate()
                await ended(process)
    assert len(read_lines(tmp_path / "s", last=100)) == 3


async def test_the_address_that_the_world_sees_never_leaves(tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir()
    server = await asyncio.start_server(telltale, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    catalogue = write_catalogue(tmp_path / "c", port, free_port())
    service = catalogue / "services" / "wechat.toml"
    service.write_text(service.read_text().replace('"tcp"', '"http"'))
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.55"})
        given = enrolment.Enrolment(
            probe="p-0123456789abcdef", user="u", secret="hush", broker=("mqtt://x",),
            url=front.url, excerpts=True,
        )  # fmt: skip
        enrolment.save(state, given)
        set_mark(state, EXCERPTS, True)
        async with running_probe(state, catalogue, nobody()) as process:
            await line_of(process.stderr, b'"round"')
            process.terminate()
            await ended(process)
    server.close()
    lines = b"".join(line for _, line in read_lines(state, last=100))
    assert b"You are [scrubbed]" in lines
    assert not re.search(rb"192.0.2.55", lines)
    for path in state.iterdir():
        assert b"192.0.2.55" not in path.read_bytes()


@contextlib.asynccontextmanager
async def measuring_once(
    tmp_path: Path, *options: str
) -> AsyncIterator[tuple[Mosquitto, FakeCollector, Process]]:
    """A probe in a French network after its first round; the next one is a day later."""
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            collecting(server.port) as collector,
            running_probe(
                tmp_path / "s", catalogue, server.url, "--country", "FR", "--asn", "64503",
                *options, interval=86_400,
            ) as process,
        ):  # fmt: skip
            await collector.wait(lambda: len(collector.ids) >= 3)
            yield server, collector, process


async def test_what_the_detector_asks_again_is_measured_and_delivered(tmp_path: Path) -> None:
    """Only here, only what the catalogue holds, only once a round, with liveness of that round."""
    async with measuring_once(tmp_path) as (server, collector, process):
        slot = int(time.time()) // 10 * 10_000
        names = "wechat/login", "wechat/messaging", "x/y"
        wanted = Retest(targets=names, round=slot, interval_ms=10_000)
        async with aiomqtt.Client("127.0.0.1", server.port) as detector:
            for topic, payload in (
                (topics.retest("FR", 64502), encode_retest(wanted)),
                (topics.retest("FR", 64503), b"{}"),
                (topics.retest("FR", 64503), encode_retest(wanted)),
                (topics.retest("FR", 64503), encode_retest(wanted)),
            ):
                await detector.publish(topic, payload, qos=1)
        await line_of(process.stderr, b'"retest"')
        await collector.wait(lambda: len(collector.ids) >= 5)
        process.terminate()
        await ended(process)
    lines = [codec.decode(line) for batch in collector.batches for line in batch.lines]
    again = [m for m in lines if m.round == wanted.round]
    assert {(m.target, m.retest) for m in again} == {
        ("liveness/international", False),
        ("wechat/messaging", True),
    }, "what has just failed here is measured by the other vantages"
    assert all(m.interval_ms == 10_000 for m in again)
    assert len(collector.ids) == 5


async def test_a_flood_of_requests_stays_within_the_limits(tmp_path: Path) -> None:
    """Whoever has taken over the broker asks a thousand times, within the quota of a broker: it is
    measured once again, and the log does not fill."""
    async with measuring_once(tmp_path) as (server, collector, process):
        topic = topics.retest("FR", 64503)
        names = ("wechat/messaging", *(f"x/y{n}" for n in range(15)))
        async with aiomqtt.Client("127.0.0.1", server.port) as liar:
            for n in range(1000):
                length = 1000 * (1 + n % 300)
                slot = time.time_ns() // 1_000_000 // length * length - n % 3 * length
                flood = encode_retest(Retest(targets=names, round=slot, interval_ms=length))
                await liar.publish(topic, os.urandom(n) if n % 10 == 0 else flood, qos=0)
        await collector.wait(lambda: len(collector.ids) >= 5)
        earlier = await lines_until(process.stderr, b'"retest refused"', b'"invalid message"')
        process.terminate()
        code, _, log = await ended(process)
    assert code == 0
    assert len(collector.ids) == 5, "three of its own round, one retest with its liveness"
    events = [line["event"] for line in (*earlier, *log)]
    assert events.count("retest") == 1
    assert events.count("retest refused") == events.count("invalid message") == 1


async def test_retests_are_answered_while_a_round_is_still_to_be_paid_for(tmp_path: Path) -> None:
    """They have a reserve of their own."""
    async with measuring_once(tmp_path, "--budget", "47") as (server, collector, process):
        slot = int(time.time()) // 60 * 60_000
        wanted = Retest(targets=("wechat/messaging",), round=slot, interval_ms=60_000)
        async with aiomqtt.Client("127.0.0.1", server.port) as detector:
            await detector.publish(topics.retest("FR", 64503), encode_retest(wanted), qos=1)
        await collector.wait(lambda: len(collector.ids) > 3)
        process.terminate()
        assert (await ended(process))[0] == 0


async def test_a_damaged_spool_and_a_second_daemon(tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir()
    (state / FILE).write_bytes(os.urandom(50_000))
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(state, catalogue, nobody(), interval=0.3) as process,
    ):
        await line_of(process.stdout, b"taken")
        async with running_probe(state, catalogue, nobody()) as second:
            _, err = await second.communicate()
            assert second.returncode == 2
        assert err.decode().count("\n") == 1
        assert "another reachprobe" in err.decode()
        process.terminate()
        code, _, log = await ended(process)
    assert code == 0
    assert any("damaged file" in line["event"] for line in log)


async def test_a_budget_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(tmp_path / "s", catalogue, nobody(), "--budget", "46") as process,
    ):
        _, err = await process.communicate()
    assert (process.returncode, err.count(b"\n")) == (2, 1)
    assert b"--budget: must be at least 47 (MB a month)" in err


async def test_a_closed_stdout_does_not_stop_measuring(tmp_path: Path) -> None:
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(tmp_path / "s", catalogue, nobody(), interval=0.2) as process,
    ):
        await line_of(process.stdout, b"taken")
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        await line_of(process.stderr, b"stdout was closed")
        await line_of(process.stderr, b'"round"')
        process.terminate()
        assert process.stderr is not None
        rest = await process.stderr.read()
        assert await process.wait() == 0
    assert b"Traceback" not in rest


@pytest.mark.lab
async def test_a_full_disk_is_logged_and_measuring_continues(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root for a tmpfs of its own")
    state = tmp_path / "s"
    state.mkdir()
    # The disk is full from the start, until the file `s.go` appears.
    script = (
        'mount -t tmpfs -o size=6m none "$0"; echo "$1" > "$0/identity.json"; '
        'head -c 20m /dev/zero > "$0/hog" 2>/dev/null; '
        '(until [ -e "$0.go" ]; do sleep 0.1; done; rm "$0/hog") & shift; exec "$@"'
    )
    async with tiny_world(tmp_path / "c") as catalogue:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "-m", "sh", "-c", script, str(state), '{"probe": "p-0123456789abcdef"}'),
            *(sys.executable, "-m", "probes", "run"),
            *("--state", str(state), "--catalogue", str(catalogue), "--allow-private"),
            *("--interval", "0.3", "--broker", nobody(), "--country", "FR"),
            *("--accept-risks", consent.digest()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        try:
            await line_of(process.stderr, b"consent not recorded")
            await line_of(process.stderr, b"disk error: measuring continues")
            (tmp_path / "s.go").touch()
            await line_of(process.stdout, b"taken")
        finally:
            process.terminate()
        code, _, log = await ended(process)
    assert code == 0, log
    assert "the disk works again" in {line["event"] for line in log}


async def test_a_signed_catalogue_is_measured_from_the_next_round_on(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    public = make_key(key)
    state = tmp_path / "state"
    state.mkdir()
    with running_mosquitto(tmp_path / "b") as server:
        async with tiny_world(tmp_path / "c") as catalogue, collecting(server.port) as collector:
            first = sign(catalogue, key, 10, laboratory=True)
            (state / "catalogue.signed").write_bytes(first)
            service = (catalogue / "services" / "wechat.toml").read_text()
            zulip = service.replace("wechat", "zulip").replace("WeChat", "Zulip")
            (catalogue / "services" / "zulip.toml").write_text(zulip)
            second = sign(catalogue, key, 11, laboratory=True)
            async with running_probe(
                state, None, server.url, "--catalogue-key", public, "--except", "wechat/login"
            ) as process:
                await collector.wait(lambda: len(collector.ids) >= 6)
                assert targets(collector) == {"wechat/messaging"}
                async with aiomqtt.Client("127.0.0.1", server.port) as monitor:
                    await monitor.publish(topics.CATALOGUE, b"rubbish", qos=1, retain=True)
                    await line_of(process.stderr, b"was not taken")
                    await monitor.publish(topics.CATALOGUE, second, qos=1, retain=True)
                    line = await line_of(process.stderr, b"catalogue of the monitor taken")
                    assert (line["serial"], line["new_services"]) == (11, "zulip")
                    await collector.wait(
                        lambda: {"zulip/messaging", "zulip/login"} <= targets(collector)
                    )
                    await monitor.publish(topics.CATALOGUE, first, qos=1, retain=True)
                    refused = await line_of(process.stderr, b"was not taken")
                    assert "serial number 10; this probe has 11" in refused["reason"]
                process.send_signal(signal.SIGTERM)
                await ended(process)
    assert targets(collector) >= {"zulip/messaging", "zulip/login"}
    assert "wechat/login" not in targets(collector)
    left = status.load(state)
    assert left is not None
    assert (left.catalogue_serial, left.new_services) == (11, ("zulip",))
    assert "serial number 10" in left.refused_catalogue
    assert (state / "catalogue.signed").read_bytes() == second


async def test_a_signed_catalogue_replaces_the_monitors_addresses(tmp_path: Path) -> None:
    """With brokers that work, and with one that does not: then the earlier one stays."""
    key, state = tmp_path / "key.pem", tmp_path / "state"
    public = make_key(key)
    state.mkdir()
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(running_mosquitto(tmp_path / "old"))
        new = stack.enter_context(running_mosquitto(tmp_path / "new"))
        given = Enrolment(
            probe=PROBE, user=PROBE, secret="hush", broker=(old.url,), catalogue_key=public
        )
        enrolment.save(state, given)

        def named(serial: int, way: str) -> bytes:
            return sign(catalogue, key, serial, ways=(way,), laboratory=True)

        async with (
            tiny_world(tmp_path / "c") as catalogue,
            collecting(old.port) as before,
            collecting(new.port) as after,
            aiomqtt.Client("127.0.0.1", old.port) as here,
            aiomqtt.Client("127.0.0.1", new.port) as there,
        ):
            (state / "catalogue.signed").write_bytes(sign(catalogue, key, 10, laboratory=True))
            async with running_probe(state, None, "") as process:
                await before.wait(lambda: len(before.ids) >= 3)
                await here.publish(topics.CATALOGUE, named(11, new.url), qos=1, retain=True)
                stages = [(await line_of(process.stderr, b"addresses of")) for _ in range(2)]
                assert [(s["stage"], s["serial"]) for s in stages] == [
                    ("on_trial", 11),
                    ("in_use", 11),
                ]
                await after.wait(lambda: len(after.ids) >= 3)
                await there.publish(topics.CATALOGUE, named(12, nobody()), qos=1, retain=True)
                assert (await line_of(process.stderr, b"addresses of"))["stage"] == "on_trial"
                count = len(after.ids)
                await after.wait(lambda: len(after.ids) >= count + 3)
                process.send_signal(signal.SIGTERM)
                await ended(process)
    left = status.load(state)
    assert left is not None
    assert (left.announced_ways.stage, left.announced_ways.earlier) == ("on_trial", (new.url,))
    assert left.failing_ways[0].failure == "connection_refused"


async def test_with_a_catalogue_of_its_own_a_probe_asks_for_none(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            aiomqtt.Client("127.0.0.1", server.port) as monitor,
            collecting(server.port) as collector,
        ):
            await monitor.publish(topics.CATALOGUE, b"rubbish", qos=1, retain=True)
            async with running_probe(
                tmp_path / "s", catalogue, server.url, "--catalogue-key", "a" * 64
            ) as process:
                await collector.wait(lambda: len(collector.ids) >= 6)
                process.send_signal(signal.SIGTERM)
                _, _, log = await ended(process)
    assert [line for line in log if "catalogue" in line["event"]] == []


def targets(collector: FakeCollector) -> set[str]:
    """What was measured so far, but liveness."""
    lines = (line for batch in collector.batches for line in batch.lines)
    return {m.target for m in map(codec.decode, lines) if m.service != "liveness"}
