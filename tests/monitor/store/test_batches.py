from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.store import batches
from monitor.store.batches import HEADER, DamagedBatchError, all_lines, batches_of, lines_of
from monitor.store.database import Database
from monitor.store.days import DAY_MS
from monitor.store.engines import writing
from monitor.store.reading.measurements import stream_measurements
from monitor.store.records import Added, Admitted, AdmittedBatch, Filter
from monitor.store.retention import prune
from monitor.store.tables import batch
from probes.wire.bounds import MAX_BATCH_LINES
from probes.wire.codec import BatchHeader, encode_batch, envelope_of
from probes.wire.measurement import Role
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import NOON, admitted, id_of
from tests.monitor.store.test_facts import held

SIGNED = BatchHeader(boot="b", sequence=3, key="k", signature="5e" * 64)


def arrived(
    rows: list[Admitted], *, refused: int = 0, header: BatchHeader = SIGNED
) -> AdmittedBatch:
    """A batch of these rows, after some lines that admission refused."""
    lines = [b"{}"] * refused + [one.line for one in rows]
    return AdmittedBatch(
        payload=encode_batch(header, lines),
        lines=len(lines),
        entries=tuple(
            (place, envelope_of(one.stored.measurement)) for place, one in enumerate(rows, refused)
        ),
        owner="ada",
        role="vantage",
        enrolled=rows[0].stored.enrolled,
        received=NOON + 500,
    )


async def bodies(store: Database) -> list[bytes]:
    async with store.reading() as connection:
        query = sa.select(batch.c.body).order_by(batch.c.first_arrival)
        return [bytes(body) for body in (await connection.execute(query)).scalars()]


async def test_a_batch_is_kept_byte_for_byte(store: Database) -> None:
    rows = [admitted(n) for n in range(3)]
    sent = arrived(rows, refused=2)
    assert await store.facts.add_batches([sent], []) == Added(3, 0, 0)
    assert await bodies(store) == [sent.payload]
    for n, one in enumerate(rows, start=3):
        assert await store.facts.measurement(id_of(one)) == (one.stored, one.line, n, None)
    assert await arrivals(store) == [3, 4, 5]


async def test_a_batch_that_is_sent_again_costs_nothing(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = arrived([admitted(n) for n in range(3)]), arrived([admitted(7)])
    await store.facts.add_batches([first], [])
    with monkeypatch.context() as patched:
        patched.delattr(batches, "decode_batch")  # the same bytes need not be unpacked
        assert await store.facts.add_batches([first, second], []) == Added(1, 3, 0)
    assert await bodies(store) == [first.payload, second.payload]


async def test_of_a_partly_known_batch_only_the_rest_is_new(store: Database) -> None:
    rows = [admitted(n) for n in range(4)]
    other = replace(admitted(1, took=9), line=admitted(1, took=9).line)
    await store.facts.add_batches([arrived(rows[:2])], [])
    mixed = arrived([rows[0], other, rows[2], rows[3], rows[3]])
    assert await store.facts.add_batches([mixed], []) == Added(2, 2, 1)
    assert await held(store, other.stored.measurement.probe) == [("conflicting_id", other.line)]
    for n, one in zip((1, 2, 5, 6), rows, strict=True):
        assert await store.facts.measurement(id_of(one)) == (one.stored, one.line, n, None)


async def test_a_line_with_a_good_envelope_and_bad_observations_is_left_out(
    store: Database,
) -> None:
    good, bad = admitted(1), admitted(2)
    bad = replace(bad, line=bad.line.replace(b'"port":443', b'"port":"\\u0000"'))
    await store.facts.add_batches([arrived([good, bad])], [])
    assert await store.facts.measurement(id_of(bad)) is None
    assert await store.facts.facts(0, 2**60) == [good.stored]
    assert [part async for part in stream_measurements(store, Filter())] == [[good.stored]]


async def test_a_batch_goes_with_its_last_measurement(store: Database, url: str) -> None:
    old = arrived([admitted(1), admitted(2)])
    across = arrived([admitted(3), admitted(4, at=NOON + DAY_MS)])
    young = arrived([admitted(5, at=NOON + DAY_MS)])
    await store.facts.add_batches([old, across, young], [])
    # Of the measurements that share a batch, each has its line.
    assert {one.measurement.id for one in await store.facts.facts(0, 2**60)} == {
        id_of(admitted(n)) for n in range(1, 6)
    }
    assert (await prune(url, NOON + DAY_MS)).measurements == 3
    assert await bodies(store) == [across.payload, young.payload]
    assert (await prune(url, NOON + 2 * DAY_MS)).measurements == 2
    assert await bodies(store) == []


async def test_lines_of_a_batch_that_was_pruned_are_missing(store: Database) -> None:
    await store.facts.add([admitted(1)], [])
    async with store.reading() as connection:
        assert await all_lines(connection, [(1, 1), (400, 401)]) == {1: admitted(1).line}


def test_imported_measurements_share_batches_within_limits() -> None:
    rows = [admitted(n) for n in range(MAX_BATCH_LINES + 3)]
    rows += [admitted(n, owner="eve") for n in range(3)]
    made = list(batches_of(rows))
    assert [each.lines for each in made] == [MAX_BATCH_LINES, 3, 3]
    assert [each.owner for each in made] == ["ada", "ada", "eve"]
    assert [line for each in made for line in lines_of(each.payload, 1)] == [
        one.line for one in rows
    ]
    large = [replace(admitted(n), line=b" " * (1 << 20)) for n in range(5)]
    assert [each.lines for each in batches_of(large)] == [3, 2]
    assert list(batches_of([])) == []


def test_a_damaged_batch_is_named() -> None:
    whole = encode_batch(HEADER, [b"{}"])
    with pytest.raises(DamagedBatchError, match="from number 7 on is damaged: ") as caught:
        lines_of(whole[:-3], 7)
    assert "\n" not in str(caught.value)
    with pytest.raises(DamagedBatchError, match="it has 1 lines"):
        lines_of(whole, 7, 2)


@pytest.mark.parametrize("count", range(6))
def test_the_first_lines_are_those_of_the_whole(count: int) -> None:
    lines = [b"{}", b"", b'{"a":1}', b""]
    batch = encode_batch(HEADER, lines)
    assert lines_of(batch, 1) == tuple(lines)
    if count > len(lines):
        with pytest.raises(DamagedBatchError, match="it has 4 lines"):
            lines_of(batch, 1, count, whole=False)
        return
    assert list(lines_of(batch, 1, count, whole=False)) == lines[:count]
    with pytest.raises(DamagedBatchError, match="not zstd"):
        lines_of(batch[5:], 1, count, whole=False)


async def test_a_damaged_batch_is_left_out_and_noted(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        await store.facts.add([admitted(10 * n + k, probe=n) for k in range(3)], [])
    async with writing(store.engines) as connection:
        damaged = sa.update(batch).where(batch.c.first_arrival == 4).values(body=b"\x28\xb5junk")
        await connection.execute(damaged)
    for _ in range(2):
        found = [
            line.arrival
            async for some in store.facts.lines(NOON, NOON, ["wechat"], Role.VANTAGE)
            for line in some
        ]
        assert sorted(found) == [1, 2, 3, 7, 8, 9]
    assert len(await store.facts.facts(NOON, NOON, "wechat")) == 6
    assert store.facts.damaged == {4}
    assert caplog.text.count("the batch of measurements from number 4 on is damaged") == 1
    # Who asks for a measurement in it is told so; the others are there.
    with pytest.raises(DamagedBatchError, match="from number 4 on"):
        await store.facts.measurement(id_of(admitted(11, probe=1)))
    assert await store.facts.measurement(id_of(admitted(21, probe=2))) is not None
    with pytest.raises(DamagedBatchError, match="from number 4 on"):
        async for _ in stream_measurements(store, Filter()):
            pass
    # A probe that sends it again is not kept from being acknowledged.
    again = [admitted(11, probe=1), admitted(99, probe=1)]
    assert await store.facts.add(again, []) == Added(1, 1, 0)
