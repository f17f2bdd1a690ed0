"""`reachwatch broker`: what it makes is what a real mosquitto takes, and goes on with."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from monitor.broker import mosquitto
from monitor.commands import options
from monitor.commands.main import main
from monitor.enrolment import hash_secret
from tests.world.mosquitto import PROGRAM
from tests.world.ports import free_port
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["broker", *map(str, words)])
    return (status, *capsys.readouterr())


def init(capsys: pytest.CaptureFixture[str], directory: Path, *more: object) -> list[str]:
    status, out, err = run(
        capsys, "init", directory, "--user", getpass.getuser(), "--host", "localhost", *more
    )
    assert (status, err) == (0, "")
    return out.splitlines()


class Place:
    """A directory that was made with free ports, and the mosquitto that runs from it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self.port, self.monitor_port = directory, free_port(), free_port()
        self.printed = init(
            capsys, directory, "--port", self.port, "--monitor-port", self.monitor_port
        )

    @contextlib.contextmanager
    def mosquitto(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [PROGRAM, "-c", str(self.directory / "mosquitto.conf")]
        with (self.directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.terminate()
                process.wait(timeout=20)

    @contextlib.asynccontextmanager
    async def monitor(self, secret: str):  # type: ignore[no-untyped-def]
        async with aiomqtt.Client(
            "127.0.0.1", self.monitor_port, username="monitor", password=secret
        ) as client:
            yield client

    async def monitor_enters(self, secret: str) -> bool:
        try:
            async with self.monitor(secret):
                return True
        except aiomqtt.MqttError:
            return False

    async def probe_enters(self, trusted: str) -> bool:
        tls = ssl.create_default_context(cadata=trusted)
        tls.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            _, writer = await asyncio.open_connection("localhost", self.port, ssl=tls)
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        async with aiomqtt.Client(
            "localhost", self.port, username="p-1", password="own", tls_context=tls
        ):
            return True

    def secret(self) -> str:
        return (self.directory / "monitor.secret").read_text().strip()

    def trusted(self) -> str:
        return (self.directory / "ca.pem").read_text()


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    made = Place(tmp_path / "broker", capsys)
    kept = mosquitto.password_file({"p-1": hash_secret("own")})
    (made.directory / "probes.passwd").write_text(kept)
    return made


async def test_what_is_made_runs_as_printed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line.split()[1:] for line in place.printed if line.startswith("  reachwatch ")]
    assert [words[0] for words in commands] == ["serve", "collect", "detect"]
    for words in commands:
        address = [word.replace("URL", "https://reach.example") for word in words]
        given = options.build().read(address, {})
        for file in ("mosquitto_passwords", "mqtt_secret_file"):
            assert getattr(given, file, place.directory).exists()
    assert f"  mosquitto -c {place.directory}/mosquitto.conf" in place.printed
    with place.mosquitto():
        await eventually(lambda: place.monitor_enters(place.secret()))
        assert await place.probe_enters(place.trusted())
        assert not await place.monitor_enters("wrong")
        again = init(capsys, place.directory)
        assert again[0] == f"{place.directory}: nothing to change"
        assert again[1:] == place.printed[1:]


async def test_everything_is_replaced_while_mosquitto_runs_and_no_probe_is_lost(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first, trusted = place.secret(), place.trusted()

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", place.port))

    with place.mosquitto() as process:
        await eventually(lambda: place.monitor_enters(first))
        before = shown()
        status, out, _ = run(capsys, "rotate", "certificate", place.directory)
        assert (status, "does not run" in out) == (0, False)
        await eventually(lambda: shown() != before)
        assert await place.probe_enters(trusted)

        async with place.monitor(first) as client:
            assert (
                "Restart `reachwatch collect`"
                in run(capsys, "rotate", "secret", place.directory)[1]
            )
            await eventually(lambda: place.monitor_enters(place.secret()))
            assert not await place.monitor_enters(first)
            with pytest.raises(aiomqtt.MqttError):  # the old password's session is ended as well
                async with asyncio.timeout(20):
                    await anext(client.messages)
        assert await place.probe_enters(trusted)

        assert run(capsys, "rotate", "authority", place.directory)[0] == 0
        assert await place.probe_enters(trusted)
        both, before = place.trusted(), shown()
        assert run(capsys, "rotate", "authority", place.directory, "--finish")[0] == 0
        await eventually(lambda: shown() != before)
        assert await place.probe_enters(both)
        assert not await place.probe_enters(trusted)
        assert process.poll() is None
    status, out, _ = run(capsys, "rotate", "certificate", place.directory)
    assert "mosquitto does not run" in out


def test_what_would_keep_mosquitto_from_starting_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "broker", capsys)
    with place.mosquitto() as process:
        place.directory.joinpath("mosquitto.pid").unlink(missing_ok=True)
        command = ("init", tmp_path / "other", "--host", "localhost", "--user", getpass.getuser())
        for _ in range(200):
            status, _, err = run(
                capsys, *command, "--port", free_port(), "--monitor-port", place.monitor_port
            )
            assert status == 0
            if err:
                break
        assert process.poll() is None
    assert err == (
        f"reachwatch: port {place.monitor_port} is used by another program; Debian starts a "
        "mosquitto of its own: systemctl disable --now mosquitto\n"
    )
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert "apt install mosquitto" in run(capsys, *command)[2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("init", "DIR"), "--host is missing"),
        (("init", "DIR", "--host", "a", "--certificate", "x"), "--certificate and --key"),
        (("init", "DIR", "--host", "a", "--authority", "x"), "belongs to --certificate"),
        (("rotate", "secret", "DIR"), "no broker there"),
        (("rotate", "secret", "DIR", "--finish"), "belongs to `rotate authority`"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    given = [str(tmp_path / "broker") if word == "DIR" else word for word in words]
    status, out, err = run(capsys, *given)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.search(re.escape(reason), err)
    assert not (tmp_path / "broker").exists()
