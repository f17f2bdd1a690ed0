import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from probes.delivery.spool import FILE, Spool, read_lines, worth_keeping
from probes.delivery.sqlite_file import BALLAST, DiskError
from probes.wire import codec
from probes.wire.measurement import VERSION, Measurement, measurement_id
from probes.wire.observation import TCPConnect
from tests.world.waiting import HANG_SECONDS

PROBE = "p-0123456789abcdef"
ROOT = Path(__file__).resolve().parents[3]


def draft(round_ms: int = 1000, *, failure: str | None = None, pad: int = 0) -> Measurement:
    observations = (
        TCPConnect(endpoint="e" * (pad % 1024 + 1), address="192.0.2.1", port=443, failure=failure),
    ) * (1 + pad // 1024)
    return Measurement(
        v=VERSION,
        id="0" * 32,
        probe=PROBE,
        target="wechat/messaging",
        round=round_ms,
        started=round_ms,
        observations=observations,
    )


def balanced(counts: object) -> bool:
    c = counts
    return c.taken == c.acked + c.pending + c.quarantined + c.dropped  # type: ignore[attr-defined]


async def test_numbers_and_ids_are_given_inside_and_survive_reopening(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE)
    first = await spool.put(draft())
    assert first is not None
    assert first.sequence == 1
    assert first.id == measurement_id(PROBE, first.epoch, 1)
    await spool.close()
    spool = Spool(tmp_path, PROBE)
    second = await spool.put(draft())
    assert second is not None
    assert (second.sequence, second.epoch) == (2, first.epoch)
    assert [codec.decode(row.line) for row in await spool.pending()] == [first, second]
    assert [row.sequence for row in await spool.pending(after=1)] == [2]
    await spool.close()
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


async def test_forgetting_keeps_a_short_history_and_numbers_are_never_reused(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, PROBE, kept=3)
    for index in range(10):
        await spool.put(draft(1000 * index))
    assert await spool.acknowledge(range(1, 11)) == 10
    assert await spool.acknowledge(range(1, 11)) == 0
    counts = await spool.counts()
    assert (counts.pending, counts.acked, counts.oldest_ms) == (0, 10, None)
    assert balanced(counts)
    assert len(read_lines(tmp_path, last=100)) == 3
    assert len(read_lines(tmp_path)) == 1
    again = await spool.put(draft(11000))
    assert again is not None
    assert again.sequence == 11
    await spool.close()


async def test_full_spool_drops_oldest_successes_first_and_failures_last(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE, limit_bytes=20_000)
    for index in range(5):
        await spool.put(draft(index, failure="connection_reset", pad=900))
    for index in range(5, 60):
        await spool.put(draft(index, pad=900))
    counts = await spool.counts()
    assert counts.pending_bytes <= 20_000
    assert counts.dropped > 0
    assert counts.dropped_failures == 0
    assert balanced(counts)
    left = [row.sequence for row in await spool.pending()]
    assert left[:5] == [1, 2, 3, 4, 5]
    assert left[-1] == 60
    for index in range(60, 100):
        await spool.put(draft(index, failure="connection_reset", pad=900))
    counts = await spool.counts()
    assert counts.dropped_failures > 0
    assert await spool.put(draft(100, pad=900)) is None
    assert (await spool.counts()).refused == 1
    assert balanced(await spool.counts())
    await spool.close()


def test_liveness_is_dropped_last_too() -> None:
    assert not worth_keeping(draft())
    assert worth_keeping(draft(failure="generic_timeout_error"))
    live = Measurement(
        v=1, id="0" * 32, probe=PROBE, target="liveness/international", round=1, started=1
    )
    assert worth_keeping(live)


async def test_what_waits_can_be_rewritten_and_keeps_its_id(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE)
    before = [await spool.put(draft(failure=f"at {index}")) for index in range(120)]

    def change(measurement: Measurement) -> Measurement:
        seen = measurement.observations[0]
        assert isinstance(seen, TCPConnect)
        clean = msgspec.structs.replace(seen, failure="struck")
        return msgspec.structs.replace(measurement, observations=(clean,))

    done, calls = 0, 0
    while (last := await spool.rewrite(change, done)) is not None:
        done, calls = last, calls + 1
    assert (done, calls) == (120, 3)
    after = [codec.decode(row.line) for row in await spool.pending()]
    assert [m.id for m in after] == [m.id for m in before if m]
    assert {getattr(m.observations[0], "failure", None) for m in after} == {"struck"}
    await spool.close()


async def test_quarantine_keeps_the_row(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE)
    await spool.put(draft())
    await spool.quarantine([1])
    counts = await spool.counts()
    assert (counts.pending, counts.quarantined) == (0, 1)
    assert balanced(counts)
    assert len(read_lines(tmp_path, last=5)) == 1
    await spool.close()


@pytest.mark.parametrize("seed", range(6))
async def test_a_damaged_file_never_stops_the_probe(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    spool = Spool(tmp_path, PROBE)
    for index in range(30):
        await spool.put(draft(index, pad=2000))
    await spool.close()
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    match seed % 3:
        case 0:
            content = bytearray(rng.randbytes(len(content)))
        case 1:
            content = content[: len(content) // 2]
        case 2:
            content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    spool = Spool(tmp_path, PROBE)
    taken = await spool.put(draft(99))
    assert taken is not None
    assert taken.sequence == 1
    assert len(list(tmp_path.glob(f"{FILE}.corrupt-*"))) == 1
    assert any("damaged file" in message for message in spool.messages)
    await spool.close()


async def test_a_flipped_bit_in_a_line_is_quarantined_not_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE)
    await spool.put(draft())
    await spool.put(draft())
    await spool.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        changed = "CAST(replace(line, '192.0.2.1', '192.0.2.7') AS BLOB)"
        db.execute(f"UPDATE row SET line = {changed} WHERE sequence=1")
    db.close()
    spool = Spool(tmp_path, PROBE)
    assert [row.sequence for row in await spool.pending()] == [2]
    assert (await spool.counts()).quarantined == 1
    await spool.close()


async def test_only_a_few_damaged_files_are_kept(tmp_path: Path) -> None:
    for _ in range(4):
        (tmp_path / FILE).write_bytes(b"no database" * 1000)
        spool = Spool(tmp_path, PROBE)
        await spool.put(draft())
        await spool.close()
    assert sum("corrupt-" in name for name in os.listdir(tmp_path)) == 2


async def test_a_missing_directory_is_an_error_and_recovered_from(tmp_path: Path) -> None:
    place = tmp_path / "state"
    spool = Spool(place, PROBE)
    with pytest.raises(DiskError, match=FILE):
        await spool.put(draft())
    place.mkdir()
    assert await spool.put(draft()) is not None
    await spool.close()


FULL = """
import asyncio, os, pathlib, resource, sys
sys.path.insert(0, sys.argv[2])
from tests.probes.delivery.test_spool import draft, balanced, PROBE
from probes.delivery.spool import Spool
from probes.delivery.sqlite_file import BALLAST, DiskError, SQLiteFile

async def main(place):
    SQLiteFile.retry_full_seconds = 0.2
    spool = Spool(place, PROBE)
    for index in range(50):
        failure = "connection_reset" if index < 3 else None
        assert await spool.put(draft(index, failure=failure, pad=9000))
    assert (place / BALLAST).exists()
    hog = fill(place)
    put = lost = 0
    for index in range(50, 450):
        try:
            put += await spool.put(draft(index, pad=3000)) is not None
        except DiskError:
            lost += 1
        if index % 7 == 0:
            await spool.acknowledge([index - 20])
    counts = await spool.counts()
    assert put > 300, (put, lost, spool.messages[:5])
    assert balanced(counts), counts
    assert counts.dropped_failures == 0, counts
    assert counts.dropped > 0, counts
    release(hog)
    SQLiteFile.retry_full_seconds = 0.0
    before = counts.dropped
    for index in range(450, 500):
        assert await spool.put(draft(index, pad=3000))
    counts = await spool.counts()
    assert balanced(counts)
    assert counts.dropped == before, counts
    assert (place / BALLAST).exists()
    assert "the disk has free space again" in spool.messages
    await spool.close()
    print("fine", put, lost)
"""
TMPFS = """
def fill(place):
    hog = place / "hog"
    with hog.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return hog
def release(hog):
    hog.unlink()
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def run_script(code: str, place: Path, *prefix: str) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", textwrap.dedent(code), str(place), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.lab
def test_a_full_disk_is_lived_with_and_recovered_from(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root for a tmpfs of its own")
    mount = 'mount -t tmpfs -o size=6m none "$0" && exec "$@"'
    out = run_script(
        FULL + TMPFS, tmp_path, "unshare", "-m", "sh", "-c", mount,
        str(tmp_path),
    )  # fmt: skip
    assert out.startswith("fine")


def test_what_was_printed_is_on_disk_after_kill_9(tmp_path: Path) -> None:
    code = """
    import asyncio, pathlib, sys
    sys.path.insert(0, sys.argv[2])
    from tests.probes.delivery.test_spool import draft, PROBE
    from probes.delivery.spool import Spool
    async def main():
        spool = Spool(pathlib.Path(sys.argv[1]), PROBE)
        while True:
            taken = await spool.put(draft())
            print(taken.id, flush=True)
    asyncio.run(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(ROOT)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(40)]
    process.kill()
    printed += [line.strip() for line in process.stdout]
    process.stdout.close()
    process.wait()
    stored = {codec.decode(line).id for _, line in read_lines(tmp_path, last=10**6)}
    assert set(printed) - {""} <= stored
    assert len(stored) - len(printed) <= 1
    assert (tmp_path / BALLAST).stat().st_size > 0
