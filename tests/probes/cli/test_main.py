"""Every command as a volunteer types it."""

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from probes.cli import consent
from probes.cli.main import main
from probes.delivery import enrolment
from probes.wire import codec
from probes.wire.enrolment_token import EnrolmentToken, encode_token
from probes.words import say
from tests.probes.test_metrics import ask
from tests.world.desk import desk
from tests.world.ports import free_port
from tests.world.tiny import (
    environment,
    reachprobe,
    running_probe,
    telltale,
    tiny_world,
    write_catalogue,
)
from tests.world.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.slow

PROBE = "p-0123456789abcdef"
NO_HOST = encode_token(EnrolmentToken(url="https://a b", id="1", secret="hush"))


async def test_consent_prints_text_and_hash_and_records(tmp_path: Path) -> None:
    code, out, _ = await reachprobe(["consent"])
    assert code == 0
    assert consent.text().split() == out.split()[: len(consent.text().split())]
    assert consent.digest() in out
    words = ["consent", "--state", str(tmp_path / "s"), "--accept-risks"]
    assert (await reachprobe([*words, consent.digest()]))[0] == 0
    assert consent.require(tmp_path / "s") == consent.digest()
    code, _, err = await reachprobe([*words, "0" * 16])
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--interval", "5"], "--interval: must be at least 30"),
        (["run", "--interval", "86401"], "--interval: must be at most 86400"),
        (["run"], "not enrolled: run `reachprobe join TOKEN`"),
        (["run", "--broker", "mqtt://127.0.0.1:9"], "no consent yet"),
        (["run", "--accept-risks", "HASH", "--broker", "ftp://x"], "--broker: must begin with"),
        (["run", "--catalogue", "/nowhere"], "/nowhere: no such directory"),
        (["run", "--only", "wechatt"], "did you mean wechat"),
        (["run", "--resolver", "x"], "--resolver: must be"),
        (["once", "--catalogue", "/nowhere"], "/nowhere: no such directory"),
        (["once", "--target", "no/such"], "no/such"),
        (["once", "--bind", "192.0.2.1"], "--bind: 192.0.2.1: this machine does not have"),
        (["run", "--bind", "2001:db8::1"], "--bind: 2001:db8::1: this machine does not have"),
        (["join", "nonsense"], "token: must begin with rch1."),
        (["join", NO_HOST, "--accept-risks", "HASH"], "collector 'a b': "),
        (["run", "--broker", "mqtt://127.0.0.1:9", "--state", "/dev/null"], "/dev/null: not a dir"),
        (["status", "--state", "/dev/null"], "/dev/null: Not a directory"),
        (["run", "--local-page", "192.0.2.1:80"], "must be a loopback address"),
        (["run", "--country", "uk"], "--country: UK is not a country code of ISO 3166-1: the Un"),
        (["once", "--country", "XX"], "--country: XX is not a country code of ISO 3166-1"),
        (["run", "--metered", "no"], "--metered: must be"),
        (["once", "--only", "wechatt"], "did you mean wechat"),
        (["geo", "update", "--from", "/nowhere.tsv"], "/nowhere.tsv: No such file"),
        (["reflector", "--certificate", "/x"], "give both or neither"),
        (["nonsense"], "no command 'nonsense'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    given = [consent.digest() if word == "HASH" else word for word in arguments]
    catalogue = write_catalogue(tmp_path / "c", free_port(), free_port())
    variables = environment(
        REACHPROBE_STATE=str(tmp_path / "s"), REACHPROBE_CATALOGUE=str(catalogue)
    )
    for name in os.environ.keys() - variables.keys():
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging.root, "handlers", [])
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


async def test_once_exits_0_whatever_the_network_did(tmp_path: Path) -> None:
    async with tiny_world(tmp_path / "c") as catalogue:
        command = ["once", "--catalogue", str(catalogue), "--allow-private", "--country", "FR"]
        code, out, _ = await reachprobe([*command, "--json", "--role", "control"])
        assert code == 0
        seen = [codec.decode(line.encode()) for line in out.splitlines()]
        assert {m.target for m in seen} >= {"wechat/messaging", "wechat/login"}
        assert {(m.vantage.role, m.vantage.country) for m in seen} == {("control", "FR")}
        code, out, _ = await reachprobe(command)
        assert code == 0
        assert "connection_refused" in out


async def test_once_prints_no_address_of_ours(tmp_path: Path) -> None:
    server = await asyncio.start_server(telltale, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    catalogue = write_catalogue(tmp_path / "c", port, free_port())
    service = catalogue / "services" / "wechat.toml"
    service.write_text(service.read_text().replace('"tcp"', '"http"'))
    command = ["once", "--json", "--catalogue", str(catalogue), "--allow-private"]
    command += ["--state", str(tmp_path / "s")]
    with desk() as front:
        _, out, err = await reachprobe(command)
        assert '"shape":' in out
        assert "You are" not in out, "what a page says is not printed"
        assert "not known here" in err
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.55"})
        given = enrolment.Enrolment(
            probe=PROBE, user="u", secret="hush", broker=("mqtt://x",), url=front.url
        )
        (tmp_path / "s").mkdir()
        enrolment.save(tmp_path / "s", given)
        _, out, err = await reachprobe(command)
    server.close()
    assert "192.0.2.55" not in out
    assert "not known here" not in err


async def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    async with tiny_world(tmp_path / "c") as catalogue:
        for arguments in (
            ["once", "--json", "--catalogue", str(catalogue), "--allow-private"],
            ["consent"],
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", "probes", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
            )
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            err = await asyncio.to_thread(process.stderr.read)
            process.stderr.close()
            assert await asyncio.to_thread(process.wait) == 0
            assert b"Error" not in err
            assert b"Traceback" not in err


def test_an_interrupt_during_the_imports_is_no_traceback() -> None:
    code = """
import os, signal, sys
import probes.__main__

class Interrupt:
    def find_spec(self, name, *_):
        if name == "probes.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
signal.signal(signal.SIGINT, signal.default_int_handler)
probes.__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


async def test_pausing_and_going_on(tmp_path: Path) -> None:
    here = ["--state", str(tmp_path / "s")]
    for command in ("pause", "resume"):
        code, _, err = await reachprobe([command, *here])
        assert (code, err.count("\n")) == (2, 1)
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(
            tmp_path / "s", catalogue, "mqtt://127.0.0.1:1", "--local-page", "127.0.0.1:0"
        ) as run,
    ):
        assert run.stdout is not None
        assert run.stderr is not None
        await run.stdout.readline()
        assert (await reachprobe(["pause", *here]))[:2] == (
            0,
            "paused; `reachprobe resume` goes on\n",
        )
        url = ""
        async with asyncio.timeout(HANG_SECONDS):
            while b'"paused"' not in (line := await run.stderr.readline()):
                assert line, "the probe ended"
                if b'"local page"' in line:
                    url = json.loads(line)["url"]

        async def says_so() -> bool:
            code, out, _ = await reachprobe(["status", *here])
            return code == 0 and "paused: `reachprobe resume` goes on" in out

        await eventually(says_so)
        port = int(url.rstrip("/").rpartition(":")[2])
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Language: ru\r\n\r\n"
        _, page = await ask(port, request.encode())
        assert "WeChat: сообщения — работают; вход: в соединении отказано" in page.decode()
        assert say("ru", "paused") in page.decode()
        assert (await reachprobe(["resume", *here]))[0] == 0
        async with asyncio.timeout(HANG_SECONDS):
            while b'"round"' not in (line := await run.stderr.readline()):
                assert line, "the probe ended"
        run.terminate()
        await run.communicate()
    assert (await reachprobe(["resume", *here]))[:2] == (
        0,
        "no longer paused; start it with `reachprobe run`\n",
    )


async def test_the_reflector_runs_until_sigterm(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probes", "reflector"),
        *("--listen", "127.0.0.1:0", "--state", str(tmp_path)),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert process.stderr is not None
    line = json.loads(await process.stderr.readline())
    assert line["port"] > 0
    process.terminate()
    assert await process.wait() == 0


def test_geo_update_makes_a_table(tmp_path: Path) -> None:
    source = tmp_path / "t.tsv"
    source.write_text("192.0.2.0\t192.0.2.255\t64501\tRU\tx\n")
    done = subprocess.run(
        [sys.executable, "-m", "probes", "geo", "update", "--from", str(source)],
        env=environment(REACHPROBE_STATE=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "geo.table").exists()
