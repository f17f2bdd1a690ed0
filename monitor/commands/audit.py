# SPDX-License-Identifier: Apache-2.0
"""`reachwatch audit`: whether measurements were lost between the probes and the store.

A spool numbers its measurements without gaps. A number that has not arrived is still in the spool,
or was dropped there because the spool was full, or is lost; the probe's last status says how many
it holds and how many it dropped. What arrived is recorded with what became of it, and stays
recorded when retention drops the measurement.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from monitor.commands import audit_chain
from monitor.commands.terminal import table
from monitor.interop.forms import rfc3339
from monitor.interop.published_chain import differences
from monitor.paths import existing_database_url
from monitor.store.database import StoreRefusedError, open_database
from monitor.store.days import day_of
from monitor.store.delivery import DeliveryOutcome
from monitor.store.reading.arrival_chain import check_chain, list_chain
from monitor.store.reading.deliveries import DatedRun, Deliveries, ProbeDeliveries, list_deliveries
from monitor.store.records import StoreUnavailableError
from probes.runtime.options import OptionError
from probes.wire.codec import Status

SHOWN_GAPS = 100
"""Gaps of one spool that `--json` lists."""
NO_SPOOL = Status(state="")


class Proof(StrEnum):
    """What is proved of the measurements of one spool, the worst first."""

    LOST = "lost"
    """The probe neither holds what has not arrived nor dropped it because its spool was full."""
    UNKNOWN = "unknown"
    """Measurements have not arrived, and the probe does not report what is in its spool."""
    DROPPED = "dropped"
    """The spool was full: the probe dropped some and counted them."""
    QUARANTINED = "quarantined"
    """Everything has arrived, and some of it was not accepted. Of that the store keeps the newest
    of each probe, and not all."""
    WAITING = "waiting"
    """The probe still holds what has not arrived."""
    COMPLETE = "complete"
    """Everything has arrived and was stored."""


class SpoolAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one spool: counts, and what they prove. Times are Unix milliseconds."""

    probe: str
    spool: str
    proof: Proof
    first: int
    """Lowest number that arrived or is expected, and the highest; 0 for none."""
    last: int
    arrived: int
    stored: int
    """Of these, stored and still there, unless an event keeps more as its evidence."""
    pruned: int
    """Stored, and dropped with their day."""
    expired: int
    """Arrived after their day had been dropped."""
    quarantined: int
    duplicates: int
    """Arrived again, and were not stored again."""
    missing: int
    """Have not arrived: `waiting`, `dropped`, `lost` or unknown."""
    waiting: int
    dropped: int
    lost: int
    gaps: tuple[tuple[int, int], ...]
    """First and last number of what has not arrived."""
    first_received: int | None
    last_received: int | None
    least_delay_ms: int | None
    """From the end of a measurement, by the probe's clock, to its arrival."""
    most_delay_ms: int | None


async def run(given: argparse.Namespace) -> int:
    """Print the audit of each spool, and of the days of arrival; return 1 if anything is lost or
    was altered."""
    try:
        async with (
            await open_database(existing_database_url(given)) as database,
            database.reading() as connection,
        ):
            found = await list_deliveries(connection, given.probe)
            parts = [] if given.probe else await check_chain(connection, day_of(given.since or 0))
            days = await list_chain(connection) if given.chain else []
    except (StoreUnavailableError, StoreRefusedError) as error:
        raise OptionError(str(error)) from None
    if given.probe and not found.probes:
        raise OptionError(f"probe {given.probe}: not found")
    audits = audit(found, given.since or 0)
    altered = audit_chain.faults(parts)
    if given.chain:
        altered += differences(days, audit_chain.read_published(given.chain))
    if given.json:
        for one in audits:
            print(json.dumps(_printed(one)))
        for line in altered:
            print(json.dumps({"altered": line}))
    else:
        print("\n".join(table([_HEADING, *map(_row, audits)])))
        for line in altered:
            print(line)
        print(summary(audits), file=sys.stderr)
        if parts:
            print(audit_chain.summary(parts), file=sys.stderr)
    return int(bool(altered) or any(one.lost for one in audits))


def audit(found: Deliveries, since: int = 0) -> list[SpoolAudit]:
    """Audit each spool, the worst first. Gaps that began on a day (UTC) before `since` are left
    out, as are spools from which nothing has arrived from that day on and nothing is missing."""
    from_day = day_of(since)
    audits = [
        one for probe in found.probes for one in _audit_probe(probe, found.pruned_day, from_day)
    ]
    worst = list(Proof)
    return sorted(audits, key=lambda one: (worst.index(one.proof), one.probe, one.spool))


def _audit_probe(found: ProbeDeliveries, pruned_day: int, since_day: int) -> Iterator[SpoolAudit]:
    spools = dict(found.spools)
    if found.status.epoch and found.status.taken:
        spools.setdefault(found.status.epoch, [])
    oldest = min(spools, key=lambda name: _first_received(spools[name]), default="")
    for name, runs in spools.items():
        status = found.status if found.status.epoch == name else NO_SPOOL
        if status.epoch:
            begin = max(0, status.sequence - status.taken)
        elif name == oldest:
            begin = 0
        else:
            begin = runs[0].run.first - 1
        everything = list(_gaps(begin, runs, status.sequence))
        recent = list(_gaps(begin, runs, status.sequence, since_day))
        runs = [each for each in runs if each.day >= since_day]
        if runs or recent:
            yield _audit_spool(found, name, runs, status, everything, recent, pruned_day)


def _first_received(runs: Sequence[DatedRun]) -> float:
    return min((each.run.first_received for each in runs), default=float("inf"))


def _gaps(
    begin: int, runs: Sequence[DatedRun], end: int, from_day: int = 0
) -> Iterator[tuple[int, int]]:
    """First and last number of what is missing after number `begin` and up to `end`, unless what
    was measured just before is of an earlier day. What is missing at the end is always among it:
    it was measured after everything that arrived."""
    last, day = begin, 0
    for each in runs:
        if each.run.first > last + 1 and day >= from_day:
            yield last + 1, each.run.first - 1
        if each.run.last >= last:
            last, day = each.run.last, each.day
    if end > last:
        yield last + 1, end


def _audit_spool(
    found: ProbeDeliveries,
    name: str,
    runs: Sequence[DatedRun],
    status: Status,
    everything: Sequence[tuple[int, int]],
    recent: Sequence[tuple[int, int]],
    pruned_day: int,
) -> SpoolAudit:
    missing, missing_recently = _size(everything), _size(recent)
    by_outcome = dict.fromkeys(DeliveryOutcome, 0)
    pruned = 0
    for each in runs:
        size = each.run.last - each.run.first + 1
        by_outcome[each.outcome] += size
        if each.outcome is DeliveryOutcome.STORED and each.day < pruned_day:
            pruned += size
    waiting = min(missing, status.spool_rows)
    dropped = min(missing - waiting, max(0, status.taken - status.acked - status.spool_rows))
    lost = min(missing_recently, missing - waiting - dropped)
    if not missing_recently:
        quarantined = by_outcome[DeliveryOutcome.QUARANTINED]
        proof = Proof.QUARANTINED if quarantined else Proof.COMPLETE
    elif lost and not found.status.epoch:
        proof, lost = Proof.UNKNOWN, 0
    elif lost:
        proof = Proof.LOST
    else:
        proof = Proof.DROPPED if dropped else Proof.WAITING
    ends = [each.run for each in runs]
    numbers = [*((each.first, each.last) for each in ends), *recent]
    return SpoolAudit(
        probe=found.probe,
        spool=name,
        proof=proof,
        first=min((first for first, _ in numbers), default=0),
        last=max((last for _, last in numbers), default=0),
        # One number may be in runs of two outcomes: stored, and again after its day was dropped.
        arrived=_distinct((each.first, each.last) for each in ends),
        stored=by_outcome[DeliveryOutcome.STORED] - pruned,
        pruned=pruned,
        expired=by_outcome[DeliveryOutcome.EXPIRED],
        quarantined=by_outcome[DeliveryOutcome.QUARANTINED],
        duplicates=sum(each.duplicates for each in ends),
        missing=missing_recently,
        waiting=waiting,
        dropped=dropped,
        lost=lost,
        gaps=tuple(recent),
        first_received=min((each.first_received for each in ends), default=None),
        last_received=max((each.last_received for each in ends), default=None),
        least_delay_ms=min((each.least_delay for each in ends), default=None),
        most_delay_ms=max((each.most_delay for each in ends), default=None),
    )


def _size(gaps: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in gaps)


def _distinct(ranges: Iterable[tuple[int, int]]) -> int:
    """How many numbers are in ranges that begin in ascending order and may overlap."""
    count, end = 0, -1
    for first, last in ranges:
        count += max(0, last - max(first, end + 1) + 1)
        end = max(end, last)
    return count


def summary(audits: Sequence[SpoolAudit]) -> str:
    """One line: whether anything is lost."""
    arrived, lost = sum(one.arrived for one in audits), sum(one.lost for one in audits)
    parts = [f"{arrived:,} measurements arrived", f"{lost:,} lost" if lost else "none is lost"]
    for text, count in (
        ("still at their probes", sum(one.waiting for one in audits)),
        ("dropped by probes whose spool was full", sum(one.dropped for one in audits)),
        ("not accepted, in quarantine", sum(one.quarantined for one in audits)),
        ("unknown", sum(one.missing for one in audits if one.proof is Proof.UNKNOWN)),
    ):
        if count:
            parts.append(f"{count:,} {text}")
    return "; ".join(parts)


_HEADING = (
    "probe", "spool", "proof", "numbers", "arrived", "pruned", "quarantined", "duplicates",
    "waiting", "dropped", "lost", "gaps", "first arrival", "last arrival", "delay",
)  # fmt: skip


def _row(one: SpoolAudit) -> tuple[str, ...]:
    return (
        one.probe,
        one.spool,
        one.proof,
        f"{one.first}-{one.last}",
        str(one.arrived),
        str(one.pruned + one.expired),
        str(one.quarantined),
        str(one.duplicates),
        str(one.waiting),
        str(one.dropped),
        str(one.lost),
        str(len(one.gaps)),
        rfc3339(one.first_received) or "",
        rfc3339(one.last_received) or "",
        ""
        if one.least_delay_ms is None
        else f"{_seconds(one.least_delay_ms)} to {_seconds(one.most_delay_ms or 0)}",
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:,.1f} s"


def _printed(one: SpoolAudit) -> dict[str, object]:
    fields = msgspec.structs.asdict(one)
    for name in ("first_received", "last_received"):
        fields[name] = rfc3339(fields[name])
    return fields | {"gaps": one.gaps[:SHOWN_GAPS], "all_gaps": len(one.gaps)}
