"""Where the probe is, and its own addresses: asked of a collector over real HTTP."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from probes.config import AgentConfig
from probes.delivery import enrolment
from probes.log import Log
from probes.privacy import geo
from probes.privacy.location import LocationTracker, is_address, locate, own_identifiers
from probes.runtime.geo_table import FILE_NAME
from probes.wire.measurement import Role, Vantage
from tests.world.desk import desk
from tests.world.waiting import HANG_SECONDS


def tracking(
    config: AgentConfig, log: Log, on_change: Callable[[Vantage], None], **resolver: str
) -> LocationTracker:
    return LocationTracker(config, log, ask=enrolment.whoami, on_change=on_change, **resolver)


def table(directory: Path) -> None:
    source = directory / "table.tsv"
    source.write_text("192.0.2.0\t192.0.2.255\t64501\tRU\tISP\n9.9.9.0\t9.9.9.255\t19281\tUS\tQ9\n")
    geo.update(source, directory)


def test_options_take_precedence() -> None:
    here = locate(country="FR", asn=64503, role="control", resolver_class="private")
    assert (here.country, here.asn, here.role, here.geo) == ("FR", 64503, Role.CONTROL, "flag")
    assert here.resolver_class == "private"


def test_the_table_gives_what_options_do_not(tmp_path: Path) -> None:
    table(tmp_path)
    here = locate(
        country="", asn=None, outside=["192.0.2.9"], nameserver="9.9.9.9", directory=tmp_path
    )
    assert (here.country, here.asn, here.resolver_asn) == ("RU", 64501, 19281)
    assert here.geo.startswith("table:")
    mixed = locate(country="FR", asn=None, outside=["192.0.2.9"], directory=tmp_path)
    assert (mixed.country, mixed.asn, mixed.geo) == ("FR", 64501, "flag")


def test_what_is_no_country_is_unknown(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("192.0.2.0,192.0.2.255,64501,EU\n")
    geo.update(source, tmp_path)
    here = locate(country="", asn=None, outside=["192.0.2.9"], directory=tmp_path)
    assert (here.country, here.asn) == ("ZZ", 64501)


def test_without_options_and_table_the_location_is_unknown(tmp_path: Path) -> None:
    assert locate(country="", asn=None) == Vantage()
    (tmp_path / FILE_NAME).write_bytes(b"damaged")
    assert locate(country="", asn=None, outside=["192.0.2.9"], directory=tmp_path) == Vantage()


def test_own_words_from_proc(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  |-- 10.1.2.3\n     /32 host LOCAL\n  |-- 127.0.0.1\n     /32 host LOCAL\n"
        "  |-- 10.1.2.255\n     /32 link BROADCAST\n"
    )
    (tmp_path / "if_inet6").write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000007 02 40 00 00     eth0\n"
    )
    for name, address in (("eth0", "66:77:88:99:aa:bb\n"), ("lo", "00:00:00:00:00:00\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(address)
    words = own_identifiers("10.9.9.9", ["198.51.100.4"], tmp_path, tmp_path)
    assert {"10.1.2.3", "2001:db8::7", "10.9.9.9", "198.51.100.4"} <= set(words)
    assert "66:77:88:99:aa:bb" in words
    assert "00:00:00:00:00:00" not in words
    assert not {"127.0.0.1", "::1", "10.1.2.255", "", "localhost"} & set(words)


@pytest.mark.needs("iproute2")
def test_own_words_under_the_systemd_unit_s_proc() -> None:
    """The shipped unit has ProcSubset=pid; without addresses nothing could be removed."""
    look = "from probes.privacy.location import own_identifiers; print(*own_identifiers())"
    script = (
        "mount -t proc -o subset=pid proc /proc && ip link set lo up && "
        "ip addr add 192.0.2.77/32 dev lo && ip -6 addr add 2001:db8::77/128 dev lo && "
        f'exec "{sys.executable}" -c "{look}"'
    )
    out = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    ).stdout  # fmt: skip
    assert {"192.0.2.77", "2001:db8::77"} <= set(out.split())


def test_the_real_proc_is_read() -> None:
    assert all(word for word in own_identifiers())
    assert is_address("::1")
    assert not is_address("host")


async def test_address_from_the_collector_and_location_from_the_table(
    tmp_path: Path,
) -> None:
    table(tmp_path)
    assert (tmp_path / FILE_NAME).exists()
    places: list[Vantage] = []
    cleaned = asyncio.Event()
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        config = AgentConfig(directory=tmp_path, interval_ms=1, collector=front.url, secret="hush")
        log = Log(io.StringIO())
        tracker = tracking(
            config, log, places.append, nameserver="9.9.9.9", resolver_class="public"
        )
        tracker.update()
        assert places[-1].country == "ZZ"
        assert "192.0.2.9" not in tracker.own

        async def clean() -> None:
            assert "192.0.2.9" in tracker.own
            cleaned.set()

        async with asyncio.TaskGroup() as group:
            asking = group.create_task(tracker.run(clean))
            await tracker.first_answer()
            asking.cancel()
    assert cleaned.is_set()
    assert (places[-1].country, places[-1].asn, places[-1].resolver_asn) == ("RU", 64501, 19281)
    assert {"192.0.2.9", "hush"} <= log.hide


async def test_stored_measurements_are_scrubbed_again_when_the_address_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.privacy.location.ASK_SECONDS", 0.01)
    cleaned: list[str] = []
    asks: list[str] = []
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        config = AgentConfig(directory=tmp_path, interval_ms=1, collector=front.url)
        tracker = LocationTracker(
            config,
            Log(io.StringIO()),
            ask=lambda url: asks.append(url) or enrolment.whoami(url),  # type: ignore[func-returns-value]
            on_change=lambda _: None,
        )

        async def clean() -> None:
            cleaned.extend(a for a in ("192.0.2.9", "192.0.2.77") if a in tracker.own)
            front.answer("/api/v1/whoami", 200, {"address": "192.0.2.77"})

        async with asyncio.timeout(HANG_SECONDS), asyncio.TaskGroup() as group:
            asking = group.create_task(tracker.run(clean))
            while len(cleaned) < 3:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
            asks.clear()
            while len(asks) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            asking.cancel()
    # The old address stays secret: measurements in progress were made from it.
    assert cleaned == ["192.0.2.9", "192.0.2.9", "192.0.2.77"]


async def test_a_new_connection_asks_for_the_address_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption the address may be new, and block pages may repeat it at once."""
    cleaned: list[tuple[str, ...]] = []
    with desk() as front:
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        config = AgentConfig(directory=tmp_path, interval_ms=1, collector=front.url)
        tracker = tracking(config, Log(io.StringIO()), lambda _: None)

        async def clean() -> None:
            cleaned.append(tracker.own)

        async with asyncio.timeout(HANG_SECONDS), asyncio.TaskGroup() as group:
            asking = group.create_task(tracker.run(clean))
            await tracker.first_answer()
            front.answer("/api/v1/whoami", 200, {"address": "192.0.2.77"})
            assert not await tracker.reconnected(), "asked a moment ago"
            monkeypatch.setattr("probes.privacy.location.RECENT_SECONDS", 0.0)
            assert await tracker.reconnected()
            assert not await tracker.reconnected()
            asking.cancel()
    assert len(cleaned) == 2
    assert {"192.0.2.9", "192.0.2.77"} <= set(cleaned[1])


async def test_a_collector_that_does_not_answer_delays_little(tmp_path: Path) -> None:
    places: list[Vantage] = []
    config = AgentConfig(
        directory=tmp_path, interval_ms=1, country="FR", collector="http://127.0.0.1:9"
    )
    tracker = tracking(config, Log(io.StringIO()), places.append)

    async def never() -> None:
        raise AssertionError("nothing became known")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(tracker.run(never))
        await tracker.first_answer()
        asking.cancel()
    assert places[-1].country == "FR"


async def test_without_a_collector_nothing_is_asked_or_waited_for(tmp_path: Path) -> None:
    tracker = tracking(AgentConfig(directory=tmp_path, interval_ms=1), Log(io.StringIO()), print)
    async with asyncio.timeout(HANG_SECONDS):
        await tracker.first_answer()
        await tracker.run(lambda: asyncio.sleep(0))
