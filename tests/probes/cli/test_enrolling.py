"""`join` and `leave`: credentials, and the risks that are agreed to before."""

import asyncio
import datetime as dt
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from probes.cli import consent
from probes.cli.main import main
from probes.delivery import enrolment, monitor_request
from probes.runtime.broker_url import Broker
from probes.wire import codec
from probes.wire.enrolment_token import EnrolmentToken, encode_token
from tests.probes.delivery.test_spool import PROBE
from tests.world.collector import collecting
from tests.world.desk import desk
from tests.world.mosquitto import running_mosquitto
from tests.world.ports import free_port
from tests.world.tiny import (
    environment,
    reachprobe,
    running_probe,
    tiny_world,
)
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow


async def test_join_run_look_and_leave(tmp_path: Path) -> None:
    state = tmp_path / "s"
    here = ["--state", str(state)]
    passwords = tmp_path / "passwords"
    with desk() as front:
        passwords.write_text("")
        passwords.chmod(0o600)
        made = await asyncio.create_subprocess_exec(
            "mosquitto_passwd", "-b", str(passwords), PROBE, "hush", stderr=subprocess.DEVNULL
        )
        assert await made.wait() == 0
        # The collector is nobody in particular here; the probe may write and read its own.
        (tmp_path / "acl").write_text(
            "topic readwrite #\npattern write reachwatch/v1/m/%u\n"
            "pattern write reachwatch/v1/status/%u\npattern read reachwatch/v1/ack/%u\n"
        )
        config = f"password_file {passwords}\nacl_file {tmp_path}/acl"
        with running_mosquitto(tmp_path / "b", config) as server:
            front.answer(
                "/api/v1/enrol",
                201,
                {
                    "probe": PROBE, "user": PROBE, "secret": "hush", "role": "vantage",
                    "owner": "o", "broker": [server.url],
                },
            )  # fmt: skip
            front.answer("/api/v1/whoami", 200, {"address": "192.0.2.55"})
            front.answer("/api/v1/leave", 200, {})
            token = encode_token(EnrolmentToken(url=front.url, id="a", secret="b"))
            code, out, err = await reachprobe(
                ["join", token, *here, "--accept-risks", consent.digest()]
            )
            assert (code, PROBE in out, err) == (0, True, "")
            code, _, err = await reachprobe(["join", token, *here])
            assert (code, "already enrolled" in err) == (2, True)
            async with tiny_world(tmp_path / "c") as catalogue, collecting(server.port) as c:
                async with running_probe(state, catalogue, server.url, "--asn", "64501") as run:
                    await c.wait(lambda: len(c.ids) >= 3)
                    async with asyncio.timeout(HANG_SECONDS):
                        while (await reachprobe(["status", "--check", *here]))[0]:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)
                    code, out, _ = await reachprobe(["leave", *here])
                    assert (code, state.is_dir()) == (2, True)
                    run.terminate()
                    _, err_bytes = await run.communicate()
                assert b"hush" not in err_bytes
                assert b"192.0.2.55" not in err_bytes
            assert {codec.decode(x).probe for b in c.batches for x in b.lines} == {PROBE}
        code, out, _ = await reachprobe(["status", *here])
        assert (code, "no: stopped" in out) == (0, True)
        assert (await reachprobe(["status", "--check", *here]))[0] == 1
        code, out, _ = await reachprobe(["status", "--json", *here])
        assert json.loads(out)["probe"] == PROBE
        code, out, _ = await reachprobe(["show", "--last", "2", *here])
        assert len(out.splitlines()) == 2
        code, out, _ = await reachprobe(["show", "--json", *here])
        assert {json.loads(line)["probe"] for line in out.splitlines()} == {PROBE}
        code, out, _ = await reachprobe(["payload", *here])
        *lines, status = out.splitlines()
        assert len({codec.decode(line.encode()).round for line in lines}) == 1
        assert codec.decode_status(status.encode()).state == "goodbye"
        code, out, _ = await reachprobe(["leave", *here])
        assert (code, list(state.iterdir())) == (0, [])
        assert front.asked[-1] == (
            "/api/v1/leave",
            {"probe": PROBE, "user": PROBE, "secret": "hush"},
        )


async def test_leaving_keeps_the_credentials_until_they_are_revoked(tmp_path: Path) -> None:
    here = ["--state", str(tmp_path)]
    with desk() as front:
        given = enrolment.Enrolment(
            probe=PROBE, user=PROBE, secret="hush", broker=("mqtt://x",), url=front.url
        )
        enrolment.save(tmp_path, given)
        consent.agree(tmp_path, consent.digest(), dt.datetime.now(dt.UTC))
        front.answer("/api/v1/leave", 503, {"error": "the store is not available"})
        code, out, err = await reachprobe(["leave", *here])
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "not revoked yet (the collector refused: the store is not available)" in err
        assert "run `reachprobe leave` again" in err
        assert [path.name for path in tmp_path.iterdir()] == [enrolment.FILE]
        front.answer("/api/v1/leave", 200, {})
        code, out, _ = await reachprobe(["leave", *here])
        assert (code, out) == (0, "credentials revoked, files removed\n")
        assert list(tmp_path.iterdir()) == []


async def test_leaving_by_force_without_the_collector(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    given = enrolment.Enrolment(probe=PROBE, user="u", secret="s", broker=("mqtt://x",), url=gone)
    enrolment.save(tmp_path, given)
    code, _, err = await reachprobe(["leave", "--state", str(tmp_path)])
    assert (code, err.count("\n"), "cannot be reached" in err) == (1, 1, True)
    code, out, _ = await reachprobe(["leave", "--force", "--state", str(tmp_path)])
    assert (code, "tell your operator" in out, list(tmp_path.iterdir())) == (0, True, [])


async def test_leaving_where_nothing_is_enrolled_says_so(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        code, out, err = await reachprobe(["leave", "--state", str(place)])
        assert (code, out, err) == (0, f"{place}: nothing is enrolled here\n", "")


@pytest.mark.parametrize("host", ["collector.example", "192.0.2.1", "10.0.0.1", "[2001:db8::1]"])
def test_no_token_leaves_the_machine_in_the_clear(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is on the path could enrol in the volunteer's place, and read the credentials."""
    connected: list[tuple[str, int]] = []

    def refuse(way: Broker, *_: object) -> socket.socket:
        connected.append((way.host, way.port))
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(monitor_request, "dial", refuse)
    token = encode_token(EnrolmentToken(url=f"http://{host}:1", id="a", secret="hush"))
    words = ["join", token, "--state", str(tmp_path / "state"), "--accept-risks", consent.digest()]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "not https://" in err
    assert "hush" not in err
    assert not (tmp_path / "state").exists()
    assert connected == []
    assert main([*words, "--plain-http"]) == 2
    assert connected == [(host.strip("[]"), 1)]


async def test_joining_shows_the_risks_before_the_token_is_spent(tmp_path: Path) -> None:
    with desk() as front:
        front.answer("/api/v1/enrol", 403, {"error": "the token is unknown, used up or expired"})
        token = encode_token(EnrolmentToken(url=front.url, id="a", secret="b"))
        join = ["join", token, "--state", str(tmp_path)]
        code, out, err = await reachprobe(join)
        assert (code, out) == (2, "")
        assert err.split()[: len(consent.text().split())] == consent.text().split()
        assert err.splitlines()[-1] == (
            "reachprobe: not enrolled, and the token is not used: nobody has agreed; to agree, add "
            f"--accept-risks {consent.digest()}"
        )
        asked = len(front.asked)
        assert asked == 0
        # On a terminal the volunteer is asked, and a no costs no token.
        for answer, code in ((b"no\n", 2), (b"yes\n", 2)):
            assert await on_a_terminal(join, answer) == code
            assert len(front.asked) == asked + (answer == b"yes\n")
        assert consent.require(tmp_path) == consent.digest()
        _, _, err = await reachprobe(join)
        assert err == (
            "reachprobe: the collector refused: the token is unknown, used up or expired: "
            "ask your operator for a new token\n"
        ), "the risks were agreed to"


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({}, "run --country CC --asn N (where this machine is)\n"),
        ({"country": "", "asn": 0}, "run --country CC --asn N (where this machine is)\n"),
        (
            {"country": "FR", "asn": 64503},
            "run --country FR --asn 64503 (where this machine is, as the monitor sees it: ",
        ),
    ],
    ids=["older", "unknown", "known"],
)
async def test_join_tells_where_the_monitor_sees_this_machine(
    tmp_path: Path, seen: dict[str, object], told: str
) -> None:
    with desk() as front:
        answer = {
            "probe": PROBE, "user": PROBE, "secret": "hush", "role": "vantage",
            "owner": "o", "broker": ["mqtts://broker.example"],
        }  # fmt: skip
        front.answer("/api/v1/enrol", 201, answer | seen)
        token = encode_token(EnrolmentToken(url=front.url, id="a", secret="b"))
        agreed = ("--accept-risks", consent.digest())
        code, out, _ = await reachprobe(["join", token, "--state", str(tmp_path), *agreed])
        assert code == 0
        assert told in out


async def on_a_terminal(arguments: list[str], typed: bytes) -> int:
    """Run one command with a terminal as stdin; return its exit code."""
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "probes", *arguments),
            stdin=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
        )
        os.write(ours, typed)
        return await process.wait()
    finally:
        os.close(theirs)
        os.close(ours)
