"""Which batch is sent when, and what an acknowledgement does."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import msgspec
import pytest

from monitor.signatures import fault_of_batch
from monitor.store.records import ProbeKey
from probes.delivery import enrolment, signing_key
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.enrolment import Enrolment
from probes.delivery.outbox import UNANSWERED_ATTEMPTS, WINDOW, DeliveryTimes, Outbox
from probes.delivery.signing_key import SigningKey
from probes.delivery.spool import Spool
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.wire import codec
from probes.wire.batch_signature import SignatureFault, line_hashes
from tests.probes.delivery.test_spool import PROBE, draft

AT_ONCE = DeliveryTimes(ack=0.0, ack_most=0.0)
PATIENT = DeliveryTimes(ack=100.0, ack_most=1000.0)


def outbox_of(spool: Spool, times: DeliveryTimes, directory: Path, now: int = 5) -> Outbox:
    log = Log(sys.stderr)
    return Outbox(
        spool,
        "boot",
        now_ms=lambda: now,
        rng=random.Random(1),
        log=log,
        signer=BatchSigner(directory, log),
        times=times,
    )


async def filled(directory: Path, batches: int, times: DeliveryTimes) -> tuple[Spool, Outbox]:
    """An outbox that has sent so many batches once."""
    spool = Spool(directory, PROBE)
    for number in range(batches):
        await spool.put(draft(1000 * number))
    outbox = outbox_of(spool, times, directory)
    while (batch := await outbox.next_batch(0)) is not None:
        outbox.attempt(batch)
    return spool, outbox


async def test_a_few_batches_are_on_their_way_until_they_are_acknowledged(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, WINDOW + 1, PATIENT)
    assert (outbox.stats.published, outbox.stats.resent) == (WINDOW, 0)
    assert list(outbox.due()) == []
    await outbox.acknowledge(codec.Ack(boot="other", sequences=(0,), place=3))
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(99,)))
    assert (await spool.counts()).acked == 0
    assert outbox.stats.place is None
    outbox.changed.clear()
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(0, 0, 1), place=3, vantages=2))
    assert outbox.changed.is_set()
    assert (await spool.counts()).acked == 2
    assert (outbox.stats.last_ack_ms, outbox.stats.place, outbox.stats.vantages) == (5, 3, 2)
    assert await outbox.next_batch(0) is not None
    assert await outbox.next_batch(0) is None
    await spool.close()


async def test_without_answers_one_batch_at_a_time_is_sent_again(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, 3, AT_ONCE)
    for _ in range(UNANSWERED_ATTEMPTS - 1):
        for batch in outbox.due():
            outbox.attempt(batch)
    assert outbox.stats.published == 3 * UNANSWERED_ATTEMPTS
    in_turn = []
    for _ in range(4):
        for batch in outbox.due():
            outbox.attempt(batch)
            in_turn.append(batch.sequence)
    assert in_turn == [0, 1, 2, 0]
    assert outbox.stats.resent == 3 * (UNANSWERED_ATTEMPTS - 1) + 4
    await spool.close()


async def test_delays_grow_and_end_when_the_collector_is_back(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, 2, PATIENT)
    now = asyncio.get_running_loop().time()
    first = outbox.next_due()
    assert first is not None
    assert 100 <= first - now <= 131
    for _ in range(5):
        outbox.reconnected(spool_changed=False)
        for batch in outbox.due():
            outbox.attempt(batch)
    later = outbox.next_due()
    assert later is not None
    assert later - now > 400
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(0,)))
    (waiting,) = outbox.due()
    assert (waiting.sequence, waiting.attempts) == (1, 1)
    await spool.close()


async def test_a_full_disk_keeps_a_batch_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> int:
        raise DiskError("disk full")

    spool, outbox = await filled(tmp_path, 1, PATIENT)
    with monkeypatch.context() as broken:
        broken.setattr(Spool, "acknowledge", full)
        await outbox.acknowledge(codec.Ack(boot="boot", sequences=(0,)))
    assert not outbox.is_empty
    assert outbox.stats.last_ack_ms == 0
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(0,)))
    assert outbox.is_empty
    await spool.close()


async def test_after_a_change_of_the_spool_batches_are_made_anew(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, 2, PATIENT)
    outbox.reconnected(spool_changed=True)
    assert outbox.is_empty
    batch = await outbox.next_batch(0)
    assert batch is not None
    assert (batch.sequence, batch.rows) == (2, (1,))
    await spool.close()


async def test_what_the_monitor_did_not_accept_is_remembered(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, 0, PATIENT)
    for ack in (
        codec.Ack(boot="boot", sequences=(), quarantined=1, reason="unknown_country"),
        codec.Ack(boot="boot", sequences=()),
    ):
        await outbox.acknowledge(ack)
        stats = outbox.stats
        assert (stats.unaccepted, stats.unaccepted_reason) == (1, "unknown_country")
        assert stats.unaccepted_ms == 5
    await spool.close()


async def test_what_a_wrong_clock_measured_is_kept_corrected_and_sent_again(tmp_path: Path) -> None:
    day, spool = 86_400_000, Spool(tmp_path, PROBE)
    now = 1_800_000_000_000 + day
    outbox = outbox_of(spool, PATIENT, tmp_path, now)
    taken = await spool.put(msgspec.structs.replace(draft(now), started=now))
    assert taken is not None
    sent = []
    for _ in range(2):
        batch = await outbox.next_batch(0)
        assert batch is not None or sent
        batch = batch or next(iter(outbox._batches.values()))
        sent.append(codec.decode(codec.decode_batch(outbox.attempt(batch)).lines[0]))
        held = codec.Ack(
            boot="boot", sequences=(), held=(batch.sequence,), clock_offset_ms=day + len(sent)
        )
        await outbox.acknowledge(held)
    assert sent == [taken, taken]
    assert outbox.stats.clock_offset_ms == day + 2
    again = await outbox.next_batch(0)
    assert again is not None
    (line,) = codec.decode_batch(outbox.attempt(again)).lines
    corrected = codec.decode(line)
    assert (corrected.id, corrected.sequence) == (taken.id, taken.sequence)
    assert (corrected.started, corrected.clock_corrected_ms) == (now - day - 2, day + 2)
    assert (await spool.counts()).acked == 0
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(again.sequence,)))
    assert (await spool.counts()).acked == 1
    await spool.close()


async def test_what_cannot_be_stored_yet_lets_the_rest_pass(tmp_path: Path) -> None:
    spool, outbox = await filled(tmp_path, WINDOW + 2, PATIENT)
    assert await outbox.next_batch(0) is None
    numbers = tuple(range(WINDOW))
    for _ in range(2):
        await outbox.acknowledge(codec.Ack(boot="boot", sequences=(), held=numbers))
    assert outbox.changed.is_set()
    fresh = await outbox.next_batch(0)
    assert fresh is not None
    outbox.attempt(fresh)
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(fresh.sequence,)))
    assert (await spool.counts()).acked == 1
    assert await outbox.next_batch(0) is not None
    now = asyncio.get_running_loop().time()
    assert min(outbox._batches[number].due for number in numbers) > now + 1000
    outbox.reconnected(spool_changed=False)
    assert {batch.sequence for batch in outbox.due()} > set(numbers), "nothing is forgotten"
    await spool.close()


async def test_what_the_monitor_cannot_verify_is_kept_and_signed_with_the_renewed_key(
    tmp_path: Path,
) -> None:
    """The operator revoked the key, and the volunteer gave the monitor another one."""

    def enrol_with(key: SigningKey) -> None:
        key.save(tmp_path)
        who = Enrolment(probe=PROBE, user="u", secret="s", broker=("mqtt://b",), key=key.id)
        enrolment.save(tmp_path, who)

    first, second = signing_key.make(), signing_key.make()
    enrol_with(first)
    spool, outbox = await filled(tmp_path, 1, PATIENT)
    held = codec.Ack(boot="boot", sequences=(), held=(0,), reason=SignatureFault.REVOKED_KEY)
    await outbox.acknowledge(held)
    assert outbox.stats.unverified == "revoked_key"
    assert await outbox.next_batch(0) is None
    enrol_with(second)
    await outbox.acknowledge(held)
    assert outbox.stats.key == second.id
    again = await outbox.next_batch(0)
    assert again is not None
    batch = codec.decode_batch(outbox.attempt(again))
    keys = [ProbeKey(probe=PROBE, id=second.id, public_key=second.public, since=1)]
    assert fault_of_batch(batch.header, line_hashes(batch.lines), keys) is None
    await outbox.acknowledge(codec.Ack(boot="boot", sequences=(again.sequence,)))
    assert (outbox.stats.unverified, (await spool.counts()).acked) == ("", 1)
    await spool.close()
