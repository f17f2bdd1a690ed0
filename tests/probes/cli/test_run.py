"""`run`: what it refuses, and what it says at the start."""

import asyncio
import json
from pathlib import Path

import pytest

from probes.cli import consent
from probes.delivery import enrolment
from tests.probes.delivery.test_spool import PROBE
from tests.world.ports import free_port
from tests.world.tiny import (
    reachprobe,
    running_probe,
    tiny_world,
    write_catalogue,
)
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow


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
            REACHPROBE_COUNTRY="FR",
            REACHPROBE_ASN="64503",
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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), True),
        (("--country", "FR"), True),
        (("--country", "FR", "--asn", "64503"), False),
    ],
    ids=["nothing", "country", "both"],
)
async def test_a_probe_that_cannot_vote_says_so_at_once(
    tmp_path: Path, options: tuple[str, ...], told: bool
) -> None:
    saved = enrolment.Enrolment(
        probe=PROBE, user=PROBE, secret="s", broker=("mqtt://127.0.0.1:1",),
        country="FR", asn=64503,
    )  # fmt: skip
    (tmp_path / "s").mkdir(mode=0o700)
    enrolment.save(tmp_path / "s", saved)
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(tmp_path / "s", catalogue, "mqtt://127.0.0.1:1", *options) as process,
        asyncio.timeout(HANG_SECONDS),
    ):
        assert process.stderr is not None
        lines = []
        while b'"round"' not in (line := await process.stderr.readline()):
            assert line, "the probe ended"
            lines.append(line.decode())
    said = [line for line in lines if "cannot count as evidence" in line]
    assert len(said) == told
    assert all('"monitor_sees":"FR AS64503"' in line for line in said)
