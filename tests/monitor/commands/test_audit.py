"""`reachwatch audit`: what is proved of each spool, and the command over real spools and stores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from monitor.commands.audit import (
    MOST_SPOOLS,
    Proof,
    SpoolAudit,
    audit,
    has_lost,
    run,
    summary,
)
from monitor.commands.options import build
from monitor.store.database import Database
from monitor.store.delivery import DeliveredRun, DeliveryOutcome
from monitor.store.reading.deliveries import DatedRun, Deliveries, ProbeDeliveries
from monitor.store.records import AdmittedBatch, Probe, Seen, Token
from monitor.store.retention import prune
from probes.delivery.spool import Spool
from probes.runtime.options import OptionError
from probes.status import message
from probes.wire.codec import (
    BatchHeader,
    Status,
    decode_envelope,
    encode_batch,
    encode_message,
)
from tests.monitor.store.conftest import (
    postgres_server,
    postgres_url,
    sqlite_url,
    store,
    url,
)
from tests.monitor.store.samples import HOUR, NOON
from tests.probes.delivery.test_spool import draft
from tests.probes.test_status import probe_status

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]

P = "p-0000000000000001"
DAY = 24 * HOUR


def dated(
    first: int,
    last: int,
    day: int = 9,
    outcome: DeliveryOutcome = DeliveryOutcome.STORED,
    received: int = 1,
) -> DatedRun:
    return DatedRun(
        day,
        outcome,
        DeliveredRun(
            first=first,
            last=last,
            first_received=received,
            last_received=received,
            least_delay=0,
            most_delay=0,
        ),
    )


def status(sequence: int, **fields: Any) -> Status:
    values = {"epoch": "s", "taken": sequence, "acked": sequence} | fields
    return Status(state="heartbeat", sequence=sequence, **values)


def audited(
    runs: Sequence[DatedRun],
    said: Status | None = None,
    *,
    since: int = 0,
    pruned_day: int = 0,
    now: int = 0,
    former: Sequence[DatedRun] = (),
) -> list[SpoolAudit]:
    spools = {"s": list(runs)} | ({"former": list(former)} if former else {})
    probe = ProbeDeliveries(
        probe=P,
        last_seen=None,
        status=said or Status(state=""),
        spools={name: each for name, each in spools.items() if each},
    )
    return audit(Deliveries(pruned_day, [probe]), since, now)


def test_everything_has_arrived() -> None:
    (one,) = audited([dated(1, 5), dated(6, 9, day=10)], status(9))
    assert (one.proof, one.arrived, one.missing, one.gaps) == (Proof.COMPLETE, 9, 0, ())
    assert (one.first, one.last) == (1, 9)


@pytest.mark.parametrize(
    ("runs", "said", "proof", "counts"),
    [
        ([dated(1, 3), dated(5, 9)], status(9), Proof.LOST, (0, 0, 1)),
        ([dated(2, 9)], status(9), Proof.LOST, (0, 0, 1)),
        ([dated(1, 7)], status(9), Proof.LOST, (0, 0, 2)),
        ([], status(9), Proof.LOST, (0, 0, 9)),
        ([dated(1, 7)], status(9, spool_rows=2, acked=7), Proof.WAITING, (2, 0, 0)),
        ([], status(9, spool_rows=9, acked=0), Proof.WAITING, (9, 0, 0)),
        ([dated(1, 3), dated(6, 9)], status(9, acked=7), Proof.DROPPED, (0, 2, 0)),
        ([dated(1, 3), dated(6, 8)], status(9, spool_rows=1, acked=7), Proof.LOST, (1, 1, 1)),
        # What arrived after the status is no loss, nor is what was between.
        ([dated(1, 9), dated(12, 13)], status(9, spool_rows=0), Proof.LOST, (0, 0, 2)),
        # A spool that replaced a damaged one begins with a higher number.
        ([dated(101, 109)], status(109, taken=9, acked=9), Proof.COMPLETE, (0, 0, 0)),
        ([dated(1, 3), dated(5, 9)], None, Proof.UNKNOWN, (0, 0, 0)),
        ([dated(1, 9)], None, Proof.COMPLETE, (0, 0, 0)),
    ],
)
def test_what_has_not_arrived(
    runs: list[DatedRun], said: Status | None, proof: Proof, counts: tuple[int, int, int]
) -> None:
    (one,) = audited(runs, said)
    assert (one.proof, (one.waiting, one.dropped, one.lost)) == (proof, counts)


def test_what_a_former_spool_did_not_deliver_is_lost() -> None:
    former = [dated(1, 3), dated(5, 6)]
    worst, other = audited([dated(7, 9, received=5)], status(9, taken=3), former=former)
    assert (worst.spool, worst.proof, worst.gaps) == ("former", Proof.LOST, ((4, 4),))
    assert (other.spool, other.proof) == ("s", Proof.COMPLETE)


def test_quarantined_expired_and_pruned_ones_are_not_lost() -> None:
    runs = [
        dated(1, 3, day=5),
        dated(2, 2, day=5, outcome=DeliveryOutcome.EXPIRED),
        dated(4, 4, outcome=DeliveryOutcome.QUARANTINED),
        dated(5, 9),
    ]
    (one,) = audited(runs, status(9), pruned_day=6)
    assert (one.proof, one.arrived) == (Proof.QUARANTINED, 9)
    assert summary([one]) == ("9 measurements arrived; none is lost; 1 not accepted, in quarantine")
    assert (one.pruned, one.expired, one.quarantined, one.stored) == (3, 1, 1, 5)


def test_since_leaves_older_gaps_out() -> None:
    runs = [dated(1, 3, day=8), dated(5, 6, day=9), dated(8, 9, day=10)]
    (one,) = audited(runs, status(9), since=9 * DAY)
    assert (one.gaps, one.lost, one.arrived) == (((7, 7),), 1, 4)
    assert audited(runs, status(9), since=11 * DAY) == []
    # What the probe dropped long ago explains no gap of today.
    (one,) = audited(runs, status(9, acked=8), since=10 * DAY)
    assert one.proof is Proof.COMPLETE


def test_the_summary_names_what_there_is() -> None:
    none = audited([dated(1, 1200)], status(1200))
    assert summary(none) == "1,200 measurements arrived; none is lost"
    some = audited([dated(1, 7)], status(12, spool_rows=2, acked=9))
    expected = "7 measurements arrived; 2 lost; 2 still at their probes; "
    assert summary(some) == expected + "1 dropped by probes whose spool was full"


MOST = 2**53


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        # More is said to wait than was taken, more to be acknowledged, more to be numbered.
        (status(9, spool_rows=MOST, acked=0), 1),
        (status(9, acked=MOST), 1),
        (status(MOST, taken=MOST, acked=0, spool_rows=MOST), 1),
        (status(MOST, taken=MOST, acked=MOST), 1),
        (status(9, taken=MOST), 1),
    ],
)
def test_what_a_probe_cannot_have_is_not_believed(said: Status, shown: int) -> None:
    """Neither does it hide a gap, nor is it a loss."""
    audits = audited([dated(1, 3), dated(5, 9)], said)
    assert [(one.proof, one.missing, one.lost) for one in audits] == [(Proof.IMPLAUSIBLE, shown, 0)]
    assert not has_lost(audits)
    assert summary(audits) == "8 measurements arrived; none is lost; 1 unknown"


def test_an_invented_spool_from_which_nothing_arrived_is_no_loss_of_everybody() -> None:
    runs = [dated(1, 9)]
    (one,) = audited(runs, status(9))
    claimed = audited([], status(1000))
    assert [(each.proof, each.lost) for each in claimed] == [(Proof.LOST, 1000)]
    liar = [structs.replace(each, owner="b") for each in claimed]
    assert has_lost(claimed), "of the only owner there is"
    assert not has_lost([*liar, one])
    assert "one owner alone says" in summary([*liar, one])
    assert has_lost([*liar, *(structs.replace(each, owner="c") for each in claimed), one])
    assert has_lost([*(structs.replace(each, vouched=True) for each in liar), one])


def test_what_cannot_be_of_an_invented_spool_leaves_the_others_as_they_are() -> None:
    said = structs.replace(status(MOST, taken=MOST, acked=MOST), epoch="invented")
    probe = ProbeDeliveries(probe=P, last_seen=None, status=said, spools={"s": [dated(1, 9)]})
    (one,) = audit(Deliveries(0, [probe]))
    assert (one.spool, one.proof, one.arrived, one.lost) == ("s", Proof.COMPLETE, 9, 0)


@pytest.mark.parametrize(("days", "overdue"), [(6, 0), (8, 2)])
def test_nothing_waits_for_ever(days: int, overdue: int) -> None:
    runs = [dated(1, 3, received=5 * DAY), dated(6, 9, received=5 * DAY)]
    said = status(12, spool_rows=5, acked=7)
    (one,) = audited(runs, said, now=(5 + days) * DAY)
    assert (one.missing, one.waiting, one.overdue) == (5, 5 - overdue, overdue)
    assert one.proof is (Proof.OVERDUE if overdue else Proof.WAITING)
    words = "2 said to be still at their probes, though later ones arrived a week ago"
    assert (words in summary([one])) == bool(overdue)


def test_of_many_spools_of_a_probe_the_worst_are_shown() -> None:
    spools = {f"s{n:03}": [dated(1, 3)] for n in range(500)}
    spools["s499"].append(dated(5, 9))
    probe = ProbeDeliveries(probe=P, last_seen=None, status=Status(state=""), spools=spools)
    shown = audit(Deliveries(0, [probe]))
    assert len(shown) == MOST_SPOOLS
    assert shown[0].spool == "s499"


class Delivery:
    """A real spool, and a store that its measurements are brought to."""

    def __init__(self, store: Database, spool: Spool) -> None:
        self.store, self.spool = store, spool

    async def take(self, count: int, at: int = NOON) -> None:
        for _ in range(count):
            assert await self.spool.put(draft(at)) is not None

    async def deliver(self, *, acknowledge: bool = True, skip: int = 0) -> None:
        """Bring what is pending to the store, without the first few."""
        rows = await self.spool.pending()
        lines = [row.line for row in rows[skip:]]
        batch = AdmittedBatch(
            payload=encode_batch(BatchHeader(boot="b", sequence=0), lines),
            lines=len(lines),
            entries=tuple((place, decode_envelope(line)) for place, line in enumerate(lines)),
            owner="ada",
            role="vantage",
            enrolled=0,
            received=NOON + 1000,
        )
        await self.store.facts.add_batches([batch], ())
        if acknowledge:
            await self.spool.acknowledge(row.sequence for row in rows)

    async def report(self) -> None:
        sent = message(
            probe_status(),
            await self.spool.counts(),
            state="heartbeat",
            boot="b",
            consent="c",
            oldest_seconds=0,
            untaken=0,
            transport="mqtt+5",
            clock_ms=0,
        )
        await self.store.registry.record_seen([Seen(probe=P, at=NOON, status=encode_message(sent))])


@pytest.fixture
async def delivery(store: Database, tmp_path: Path) -> Any:
    await store.registry.add_token(
        Token(id="t", secret_sha256="x", role="vantage", owner="ada", uses_left=1, expires=9,
              created=0)
    )  # fmt: skip
    probe = Probe(id=P, owner="", role="vantage", enrolled=0)
    assert await store.registry.enrol("t", "x", probe, "hash", 1) is not None
    spool = Spool(tmp_path / "state", P)
    (tmp_path / "state").mkdir()
    yield Delivery(store, spool)
    await spool.close()


async def asked(
    capsys: pytest.CaptureFixture[str], url: str, *words: str
) -> tuple[int, list[dict[str, Any]]]:
    given = build().read(["audit", "--database", url, "--json", *words])
    found = await run(given)
    return found, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_a_measurement_from_the_spool_to_retention(
    delivery: Delivery, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await delivery.take(5)
    await delivery.report()
    found, (one,) = await asked(capsys, url)
    assert (found, one["proof"], one["waiting"], one["arrived"]) == (0, "waiting", 5, 0)
    await delivery.deliver(acknowledge=False)
    await delivery.deliver()
    await delivery.report()
    found, (one,) = await asked(capsys, url, "--probe", P)
    assert (found, one["proof"], one["arrived"], one["duplicates"]) == (0, "complete", 5, 5)
    await prune(url, NOON + DAY)
    found, (one,) = await asked(capsys, url)
    assert (found, one["proof"], one["pruned"], one["stored"]) == (0, "complete", 5, 0)


async def test_an_acknowledged_measurement_that_is_not_there_is_lost(
    delivery: Delivery, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await delivery.take(5)
    await delivery.deliver(skip=2)
    await delivery.report()
    found, (one,) = await asked(capsys, url)
    assert (found, one["proof"], one["lost"], one["gaps"]) == (1, "lost", 2, [[1, 2]])
    assert (one["first_received"], one["all_gaps"]) == ("2026-09-21T12:00:01Z", 1)
    given = build().read(["audit", "--database", url])
    assert await run(given) == 1
    out, said = capsys.readouterr()
    assert out.splitlines()[0].startswith("probe")
    assert "1-5" in out
    assert said == "3 measurements arrived; 2 lost\nbatches stored as they arrived: 1\n"
    with pytest.raises(OptionError, match="probe p-0: not found"):
        await run(build().read(["audit", "--database", url, "--probe", "p-0"]))


async def test_a_probe_that_does_not_report_its_spool_leaves_gaps_unknown(
    delivery: Delivery, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await delivery.take(3)
    await delivery.deliver(skip=1)
    silent = Status(state="heartbeat", spool_rows=1)
    await delivery.store.registry.record_seen([Seen(probe=P, at=1, status=encode_message(silent))])
    found, (one,) = await asked(capsys, url)
    assert (found, one["proof"], one["missing"]) == (0, "unknown", 1)
