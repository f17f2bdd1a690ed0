# SPDX-License-Identifier: Apache-2.0
"""`reachwatch audit`: whether measurements were lost between the probes and the store.

A spool numbers its measurements without gaps. A number that has not arrived is still in the spool,
or was dropped there because the spool was full, or is lost; the probe's last status says how many
it holds and how many it dropped. What arrived is recorded with what became of it, and stays
recorded when retention drops the measurement.

What a probe says is not proved, and numbers can be left out on purpose. What cannot be is not
believed, what is said to wait is not believed for ever, and what one owner's probes alone say,
while others measure too, is shown and changes no exit status.
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
from monitor.store.days import DAY_MS, day_of
from monitor.store.delivery import DeliveryOutcome
from monitor.store.reading.arrival_chain import check_chain, list_chain
from monitor.store.reading.deliveries import DatedRun, Deliveries, ProbeDeliveries, list_deliveries
from monitor.store.records import StoreUnavailableError
from probes.runtime.clock import wall_clock
from probes.runtime.options import OptionError
from probes.wire.codec import Status

OVERDUE_MS = 7 * 86_400_000
"""A spool sends its oldest measurements first: what has not arrived so long after later ones waits
for nothing but a clock."""
MOST_A_DAY = 2_000_000
"""More measurements than one probe makes in a day: 500 targets, every half a minute."""
MOST_SPOOLS = 20
"""Spools of one probe that are shown, the worst: every reinstallation begins another one."""
SHOWN_GAPS = 100
"""Gaps of one spool that `--json` lists."""
NO_SPOOL = Status(state="")


class Proof(StrEnum):
    """What is proved of the measurements of one spool, the worst first."""

    LOST = "lost"
    """The probe neither holds what has not arrived nor dropped it because its spool was full."""
    OVERDUE = "overdue"
    """The probe says that it still holds what has not arrived, long after later ones have."""
    IMPLAUSIBLE = "implausible"
    """Measurements have not arrived, and what the probe says of its spool cannot be."""
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


NOT_TOLD = (Proof.IMPLAUSIBLE, Proof.UNKNOWN)


class SpoolAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one spool: counts, and what they prove. Times are Unix milliseconds."""

    probe: str
    owner: str
    vouched: bool
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
    """Have not arrived: `waiting`, `overdue`, `dropped`, `lost` or unknown."""
    waiting: int
    overdue: int
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
    audits = audit(found, given.since or 0, wall_clock())
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
    return int(bool(altered) or has_lost(audits))


def has_lost(audits: Sequence[SpoolAudit]) -> bool:
    """Whether measurements are lost by the word of more than one owner, of one that the operator
    vouches for, or of the only one there is."""
    losing = [one for one in audits if one.lost]
    owners = {one.owner for one in losing}
    return (
        len(owners) > 1
        or any(one.vouched for one in losing)
        or (len(owners) == 1 and owners == {one.owner for one in audits})
    )


def audit(found: Deliveries, since: int = 0, now: int = 0) -> list[SpoolAudit]:
    """Audit each spool, the worst first. Gaps that began on a day (UTC) before `since` are left
    out, as are spools from which nothing has arrived from that day on and nothing is missing. `now`
    is Unix milliseconds; 0 for the moment of the last arrival."""
    from_day = day_of(since)
    worst = list(Proof)

    def order(one: SpoolAudit) -> tuple[int, str, str]:
        return worst.index(one.proof), one.probe, one.spool

    audits: list[SpoolAudit] = []
    for probe in found.probes:
        mine = sorted(_audit_probe(probe, found.pruned_day, from_day, now), key=order)
        audits += mine[:MOST_SPOOLS]
    return sorted(audits, key=order)


def _audit_probe(
    found: ProbeDeliveries, pruned_day: int, since_day: int, now: int
) -> Iterator[SpoolAudit]:
    spools = dict(found.spools)
    if found.status.epoch and found.status.taken:
        spools.setdefault(found.status.epoch, [])
    oldest = min(spools, key=lambda name: _first_received(spools[name]), default="")
    for name, runs in spools.items():
        status = found.status if found.status.epoch == name else NO_SPOOL
        is_plausible = _is_plausible(status, runs, now)
        if not is_plausible:
            status = NO_SPOOL
        if status.epoch:
            begin = max(0, status.sequence - status.taken)
        elif name == oldest:
            begin = 0
        else:
            # An invented spool has none.
            begin = runs[0].run.first - 1 if runs else 0
        everything = list(_gaps(begin, runs, status.sequence))
        recent = list(_gaps(begin, runs, status.sequence, since_day))
        runs = [each for each in runs if each.day >= since_day]
        if runs or recent:
            audited = _audit_spool(found, name, runs, status, everything, recent, pruned_day)
            if not is_plausible and audited.missing:
                audited = msgspec.structs.replace(audited, proof=Proof.IMPLAUSIBLE, lost=0)
            yield _with_overdue(audited, everything, runs, now)


def _is_plausible(status: Status, runs: Sequence[DatedRun], now: int) -> bool:
    """Whether a spool can be as its probe says."""
    if not status.epoch:
        return True
    arrived = max((each.run.last for each in runs), default=status.sequence - status.taken)
    days = 1 + max(0, now - _last_received(runs, now)) // DAY_MS
    return (
        status.taken <= status.sequence
        and status.acked + status.spool_rows <= status.taken
        and status.sequence - arrived <= MOST_A_DAY * days
    )


def _last_received(runs: Sequence[DatedRun], default: int) -> int:
    return max((each.run.last_received for each in runs), default=default)


def _with_overdue(
    audited: SpoolAudit, gaps: Iterable[tuple[int, int]], runs: Sequence[DatedRun], now: int
) -> SpoolAudit:
    """The audit in which what is said to wait, and cannot any more, is overdue."""
    old = 0
    for first, last in gaps:
        after = [each.run.first_received for each in runs if each.run.first > last]
        if after and now - min(after) > OVERDUE_MS:
            old += last - first + 1
    overdue = min(old, audited.waiting)
    if not overdue:
        return audited
    proof = Proof.OVERDUE if audited.proof is Proof.WAITING else audited.proof
    return msgspec.structs.replace(
        audited, proof=proof, overdue=overdue, waiting=audited.waiting - overdue
    )


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
        owner=found.owner,
        vouched=found.vouched,
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
        overdue=0,
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
        (
            "said to be still at their probes, though later ones arrived a week ago",
            sum(one.overdue for one in audits),
        ),
        ("dropped by probes whose spool was full", sum(one.dropped for one in audits)),
        ("not accepted, in quarantine", sum(one.quarantined for one in audits)),
        ("unknown", sum(one.missing for one in audits if one.proof in NOT_TOLD)),
    ):
        if count:
            parts.append(f"{count:,} {text}")
    if lost and not has_lost(audits):
        parts.append("one owner alone says that some are lost: the exit status does not count that")
    return "; ".join(parts)


_HEADING = (
    "probe", "spool", "proof", "numbers", "arrived", "pruned", "quarantined", "duplicates",
    "waiting", "overdue", "dropped", "lost", "gaps", "first arrival", "last arrival", "delay",
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
        str(one.overdue),
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
    del fields["owner"], fields["vouched"]  # names of volunteers
    for name in ("first_received", "last_received"):
        fields[name] = rfc3339(fields[name])
    return fields | {"gaps": one.gaps[:SHOWN_GAPS], "all_gaps": len(one.gaps)}
