"""The generated files, and that a real mosquitto takes them as meant."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import psutil
import pytest

from monitor.broker import mosquitto
from monitor.broker.mosquitto import Layout, Passwords
from monitor.store.records import Seen, StoreUnavailableError
from probes.wire import topics
from tests.world.brokers import house, until
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "mosquitto"


def test_deploy_files_are_generated() -> None:
    assert (DEPLOY / "mosquitto.conf").read_text() == mosquitto.configuration(Layout())
    assert (DEPLOY / "acl").read_text() == mosquitto.access_list()


def test_what_must_hold_of_any_configuration() -> None:
    for layout in (Layout(), Layout(websockets_port=8443), Layout(certificate="")):
        text = mosquitto.configuration(layout)
        assert text.index("per_listener_settings true") < text.index("listener ")
        general, *listeners = text.split("\nlistener ")
        assert "max_qos" not in general, "it would open a listener of its own"
        assert "connection_messages false" in general
        for listener in listeners:
            assert "allow_anonymous false" in listener
            assert "acl_file " in listener
            if "probes.passwd" in listener:
                assert "use_username_as_clientid true" in listener
                assert ("certfile " in listener) == bool(layout.certificate)


def test_files_are_written_with_modes_and_kept_passwords(tmp_path: Path) -> None:
    layout = Layout(directory=str(tmp_path), certificate="", user="root")
    assert mosquitto.write_configuration(tmp_path, layout, "s") == tmp_path / "mosquitto.conf"
    (tmp_path / "probes.passwd").write_text("p-1:x\n")
    mosquitto.write_configuration(tmp_path, layout, "s")
    assert (tmp_path / "probes.passwd").read_text() == "p-1:x\n"
    for name in ("acl", "monitor.passwd", "probes.passwd"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["mosquitto.conf", "acl", "monitor.passwd", "probes.passwd"]
    )


async def test_mosquitto_listens_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    async with house("mosquitto-5", tmp_path) as made:
        ours = next(
            process
            for process in psutil.Process().children()
            if str(tmp_path) in " ".join(process.cmdline())
        )
        ports = {c.laddr.port for c in ours.net_connections("inet") if c.status == "LISTEN"}
        assert ports == {made.probes_port, made.monitor_port}


async def test_doors_are_apart(tmp_path: Path) -> None:
    """The monitor cannot log in where probes do, nor a probe where the monitor does."""
    async with house("mosquitto-3.1.1", tmp_path) as made:
        made.probes_port, made.monitor_port = made.monitor_port, made.probes_port
        for who in (made.one, None):
            with pytest.raises(Exception, match="uthori"):
                async with made.client(who):
                    pass


class _Gone:
    asked = 0

    async def probes(self) -> list[object]:
        self.asked += 1
        raise StoreUnavailableError("no store")


async def test_keep_passwords_survives_a_store_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()
    gone = _Gone()
    passwords = Passwords(tmp_path / "p", gone, lambda: None)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        group.create_task(mosquitto.keep_passwords(passwords, stop, seconds=0.01))
        await eventually(lambda: gone.asked > 2)
        stop.set()
    said = [r.getMessage() for r in caplog.records if r.name == "reachwatch.mosquitto"]
    assert said == ["mosquitto's password file cannot be updated: no store"]


async def test_passwords_are_written_only_when_something_changed(tmp_path: Path) -> None:
    async with house("embedded", tmp_path) as made:
        reloads: list[int] = []
        path = tmp_path / "passwd"
        passwords = Passwords(path, made.database.registry, lambda: reloads.append(1))
        assert await passwords.refresh()
        assert not await passwords.refresh()
        assert {line.partition(":")[0] for line in path.read_text().splitlines()} == {
            made.one.user,
            made.two.user,
        }
        await made.revoke(made.one.user)
        assert await passwords.refresh()
        assert made.one.user not in path.read_text()
        assert len(reloads) == 2


async def test_a_probe_reads_the_retests_of_its_own_network_alone(tmp_path: Path) -> None:
    """Also after it moved, and as soon as its place is known."""
    here, there, marker = topics.retest("RU", 64501), topics.retest("FR", 64503), topics.CATALOGUE
    async with house("mosquitto-5 by network", tmp_path) as made, made.client(made.one) as probe:
        for topic_filter in (f"{topics.PREFIX}/retest/#", here, there, marker):
            await probe.subscribe(topic_filter, qos=1)
        got: list[list[str]] = []
        for minute, place in enumerate((None, ("RU", 64501), ("FR", 64503))):
            if place is not None:
                seen = Seen(probe=made.one.user, at=minute, country=place[0], asn=place[1])
                await made.database.registry.record_seen([seen])
                await made.renew()
            async with made.client() as monitor:
                for topic in (here, there, marker):
                    await monitor.publish(topic, b"x", qos=1)
            got.append(sorted({topic for topic, _ in await until(probe, marker)}))
        assert got == [[], [here], [there]]


def test_an_access_list_that_is_not_ours_stays(tmp_path: Path) -> None:
    assert not mosquitto.has_access_list(tmp_path)
    for text, ours in (
        (mosquitto.access_list(), True),
        (mosquitto.access_list({"p-1": ("RU", 1)}), True),
        ("topic readwrite #\n", False),
    ):
        (tmp_path / "acl").write_text(text)
        assert mosquitto.has_access_list(tmp_path) is ours


def test_reload_without_a_mosquitto_is_harmless(tmp_path: Path) -> None:
    mosquitto.reload_by_pid_file(tmp_path / "none")()
    (tmp_path / "pid").write_text("rubbish")
    mosquitto.reload_by_pid_file(tmp_path / "pid")()
