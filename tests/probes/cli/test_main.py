"""Every command as a volunteer types it."""

import asyncio
import datetime as dt
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
from tests.world.collector import collecting
from tests.world.desk import desk
from tests.world.mosquitto import running_mosquitto
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
NO_HOST = encode_token(EnrolmentToken(url="http://a b", id="1", secret="hush"))


async def test_consent_prints_text_and_hash_and_records(tmp_path: Path) -> None:
    code, out, _ = await reachprobe(["consent"])
    assert code == 0
    assert consent.text() in out
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
        (["run", "--accept-risks", "HASH", "--broker", "http://x"], "--broker: must begin with"),
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


@pytest.mark.parametrize(("key", "lines"), [("", 1), ("none", 1), ("a" * 64, 0)])
async def test_without_a_pinned_key_one_line_says_so(tmp_path: Path, key: str, lines: int) -> None:
    # It ends before it measures: the address cannot be bound.
    code, _, err = await reachprobe(
        ["run", "--accept-risks", consent.digest(), "--metrics", "192.0.2.1:80"],
        REACHPROBE_BROKER="mqtt://127.0.0.1:9",
        REACHPROBE_STATE=str(tmp_path / "s"),
        REACHPROBE_CATALOGUE_KEY=key,
    )
    assert code == 2
    assert err.count("catalogues of the monitor are not accepted") == lines


async def test_an_address_that_cannot_be_served(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", free_port(), free_port())
    for host in ("192.0.2.1", "256.0.0.1"):
        code, _, err = await reachprobe(
            ["run", "--accept-risks", consent.digest(), "--metrics", f"{host}:80"],
            REACHPROBE_BROKER="mqtt://127.0.0.1:9",
            REACHPROBE_STATE=str(tmp_path / "s"),
            REACHPROBE_CATALOGUE=str(catalogue),
        )
        assert code == 2
        assert err.splitlines()[1:] == [
            f"reachprobe: cannot listen on {host}:80 (Cannot assign requested address): "
            "choose another address or port"
        ]


async def test_a_state_directory_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = await reachprobe(
        ["run", "--state", str(tmp_path / "file"), "--accept-risks", consent.digest()]
    )
    assert (code, err.count("\n")) == (2, 1)


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
        assert "You are 192.0.2.55" in out  # nobody told it whose address that is
        assert "not known here" in err
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.55"})
        given = enrolment.Enrolment(
            probe=PROBE, user="u", secret="hush", broker=("mqtt://x",), url=front.url
        )
        (tmp_path / "s").mkdir()
        enrolment.save(tmp_path / "s", given)
        _, out, err = await reachprobe(command)
    server.close()
    assert "You are [scrubbed]" in out
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


async def test_streams_that_are_closed_or_full_are_no_traceback(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m probes consent"
    for redirected, status, words in (
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "reachprobe: output: No space left on device\n"),
    ):
        process = await asyncio.create_subprocess_shell(
            f"{command} {redirected}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        _, err = await process.communicate()
        assert (process.returncode, err.decode()) == (status, words)


async def test_words_are_english_where_the_output_cannot_show_others(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", free_port(), free_port())
    words = ["once", "--catalogue", str(catalogue), "--allow-private"]
    for encoding, language in (("utf-8", "zh"), ("ascii", "en")):
        code, out, _ = await reachprobe(words, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
        assert code == 0
        assert say(language, "offline") in out


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
        assert len({codec.decode(line.encode()).round for line in out.splitlines()}) == 1
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


async def test_joining_shows_the_risks_before_the_token_is_spent(tmp_path: Path) -> None:
    with desk() as front:
        front.answer("/api/v1/enrol", 403, {"error": "the token is unknown, used up or expired"})
        token = encode_token(EnrolmentToken(url=front.url, id="a", secret="b"))
        join = ["join", token, "--state", str(tmp_path)]
        code, out, err = await reachprobe(join)
        assert (code, out) == (2, "")
        assert err.startswith(consent.text())
        assert consent.digest() in err
        assert err.splitlines()[-1] == (
            "reachprobe: the collector refused: the token is unknown, used up or expired: "
            "ask your operator for a new token"
        )
        asked = len(front.asked)
        # On a terminal the volunteer is asked, and a no costs no token.
        for answer, code in ((b"no\n", 2), (b"yes\n", 2)):
            assert await on_a_terminal(join, answer) == code
            assert len(front.asked) == asked + (answer == b"yes\n")
        assert consent.require(tmp_path) == consent.digest()
        _, _, err = await reachprobe(join)
        assert err.count("\n") == 1, "the risks were agreed to"


async def test_join_without_a_terminal_says_how_to_agree(tmp_path: Path) -> None:
    with desk() as front:
        answer = {
            "probe": PROBE, "user": PROBE, "secret": "hush", "role": "vantage",
            "owner": "o", "broker": ["mqtts://broker.example"],
        }  # fmt: skip
        front.answer("/api/v1/enrol", 201, answer)
        token = encode_token(EnrolmentToken(url=front.url, id="a", secret="b"))
        for name, more in (("a", []), ("b", ["--accept-risks", consent.digest()])):
            code, out, _ = await reachprobe(["join", token, "--state", str(tmp_path / name), *more])
            assert code == 0
            assert (f"--asn N --accept-risks {consent.digest()} (" in out) is (not more)


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


async def test_a_restart_says_again_what_was_taken_last(tmp_path: Path) -> None:
    async with tiny_world(tmp_path / "catalogue") as catalogue:
        first = await said_by_a_probe(tmp_path, catalogue)
        # A kill between the commit and the print would have lost the last line; the next start
        # prints what is on disk before it measures anything.
        second = await said_by_a_probe(tmp_path, catalogue)
    assert set(first) <= set(second)


async def said_by_a_probe(directory: Path, catalogue: Path) -> list[str]:
    async with running_probe(directory, catalogue, "mqtt://127.0.0.1:1") as process:
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(3)]
        process.terminate()
        lines += (await process.stdout.read()).splitlines()
        await process.wait()
    return [json.loads(line)["id"] for line in lines]


def test_less_garbage_is_kept_than_with_pythons_own_thresholds() -> None:
    code = (
        "import gc\n"
        "from probes.cli.main import keep_memory_low\n"
        "class Ring:\n"
        "    def __init__(self): self.me = self\n"
        "def most():\n"
        "    lying = []\n"
        "    for n in range(6000):\n"
        "        Ring()\n"
        "        if not n % 50: lying.append(sum(type(o) is Ring for o in gc.get_objects()))\n"
        "    return max(lying)\n"
        "gc.set_threshold(2000, 10, 10)\n"
        "before = most()\n"
        "keep_memory_low()\n"
        "print(gc.get_freeze_count() > 1000, 0 < most() < before, gc.isenabled())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "True", "True"], ran.stderr
