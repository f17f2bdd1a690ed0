# SPDX-License-Identifier: Apache-2.0
"""The short commands of `reachwatch`: tokens, probes, rules, schema, database."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from monitor.commands import invitation
from monitor.commands.terminal import table
from monitor.enrolment import NOBODY, OPERATOR, new_token, other_spelling
from monitor.interop.forms import rfc3339
from monitor.paths import (
    ARCHIVE,
    PUBLIC_URL,
    data_directory,
    database_url,
    existing_database_url,
)
from monitor.store.database import Database, StoreRefusedError, migrate, open_database
from monitor.store.days import date_of, day_of
from monitor.store.records import Probe, StoreUnavailableError
from monitor.store.size import StoreSize, forecast
from probes.runtime.clock import wall_clock
from probes.runtime.options import OptionError
from probes.runtime.progress import ProgressLine

UNASKED_DAYS = 2
"""`db prune` drops so many days without a question: what a daily run drops, and one day more."""


def run(given: argparse.Namespace) -> int:
    """Run one command; return the exit status."""
    match given.command:
        case "rules":
            # Imported here: no other command needs it.
            from monitor.alerts.rules_file import requested_file

            sys.stdout.write(requested_file(given))
            return 0
        case "schema":
            from monitor.interop.dictionary import pages
            from probes.wire.schema import schema

            if given.markdown:
                given.markdown.mkdir(parents=True, exist_ok=True)
                for name, text in pages().items():
                    (given.markdown / name).write_text(text, encoding="utf-8")
                return 0

            print(json.dumps(schema(), indent=2, sort_keys=True))
            return 0
        case _:
            try:
                return asyncio.run(_with_database(given))
            except (StoreUnavailableError, StoreRefusedError) as error:
                raise OptionError(str(error)) from None


async def _with_database(given: argparse.Namespace) -> int:
    # Only these may make a store: with a slip in --data the others would answer "nothing".
    makes = given.command in ("token new", "db migrate")
    url = database_url(given) if makes else existing_database_url(given)
    if given.command == "archive":
        await _archive(given, url)
        return 0
    if given.command.startswith("db "):
        return await _db(given, url)
    missing = _missing_store(given) if given.command == "token new" else ""
    async with await open_database(url) as database:
        match given.command:
            case "token new":
                return await _token_new(given, database, missing)
            case "token list":
                await _token_list(database)
            case "token revoke":
                if not await database.registry.revoke_token(given.id, wall_clock()):
                    raise OptionError(f"token {given.id}: not found")
            case "probes list":
                await _probes_list(database)
            case "probes trust":
                await _trust(given.id, database)
            case "probes revoke":
                if not await database.registry.revoke_probe(given.id, wall_clock()):
                    raise OptionError(f"probe {given.id}: not found")
            case "probes revoke-key":
                if not await database.registry.revoke_keys(given.id, wall_clock()):
                    raise OptionError(f"probe {given.id}: has no key in use")
        return 0


async def _trust(name: str, database: Database) -> None:
    """Believe a probe's place, or vouch for an owner."""
    if name.startswith("p-"):
        if not await database.registry.trust_place(name):
            raise OptionError(f"probe {name}: not found")
    elif not await database.registry.vouch(name):
        raise OptionError(f"owner {name}: no probe of theirs is enrolled")


def _missing_store(given: argparse.Namespace) -> str:
    """Where there is no store yet, and what to set; empty when there is one."""
    try:
        existing_database_url(given)
    except OptionError as error:
        return str(error)
    return ""


async def _token_new(given: argparse.Namespace, database: Database, missing: str) -> int:
    """`missing` says that the store was made for this token."""
    now = wall_clock()
    url = given.public_url or PUBLIC_URL
    try:
        token, text = new_token(
            url, given.role, given.owner, given.uses, now + 1000 * given.expires, now
        )
    except ValueError as error:
        raise OptionError(str(error)) from None
    registry = database.registry
    known = {NOBODY} | {each.owner for each in await registry.tokens()}
    known |= {each.owner for each in await registry.probes()}
    if same := other_spelling(token.owner, known):
        raise OptionError(
            f"--owner: {token.owner!r} is {same!r} in another spelling, and would count as another "
            f"person: use {same!r}, or a name that differs"
        )
    await registry.add_token(token)
    if missing:
        print(
            f"reachwatch: {missing}; an empty one was made, and only a monitor that uses it will "
            "accept this token",
            file=sys.stderr,
        )
    if given.role == OPERATOR:
        print(text)
        until = f"until {rfc3339(token.expires)}; it is not shown again"
        print(f"Writes notes on events and retracts them, {until}.", file=sys.stderr)
        return 0
    if warning := invitation.unreachable(url):
        print(f"reachwatch: {warning}", file=sys.stderr)
    print(invitation.container_line(text) if given.container else text)
    if given.container:
        print(
            "HASH is printed by `docker run --rm reachprobe consent`; CC and N are the country and "
            "the AS number of the volunteer's network.",
            file=sys.stderr,
        )
    elif sys.stderr.isatty():
        print(*invitation.commands(text, given.uses, token.expires), sep="\n", file=sys.stderr)
        invitation.print_qr_code(text, sys.stderr)
    return 0


async def _token_list(database: Database) -> None:
    rows = [("id", "role", "owner", "uses left", "expires", "state")]
    now = wall_clock()
    for token in await database.registry.tokens():
        state = (
            "revoked"
            if token.revoked
            else "expired"
            if token.expires <= now
            else "used up"
            if token.uses_left <= 0
            else "valid"
        )
        rows.append(
            (
                token.id,
                token.role,
                token.owner,
                str(token.uses_left),
                rfc3339(token.expires) or "",
                state,
            )
        )
    print("\n".join(table(rows)))


def _probe_state(probe: Probe) -> str:
    if probe.revoked:
        return "revoked"
    if probe.last_seen is not None and probe.is_elsewhere(probe.country, probe.asn):
        return f"no vote: enrolled from {probe.seen_country} AS{probe.seen_asn} (probes trust)"
    if probe.enrolled > wall_clock():
        return f"no vote: enrolled {rfc3339(probe.enrolled)}, by a clock that was ahead"
    state = "enrolled, owner vouched for" if probe.vouched else "enrolled"
    if probe.connects_elsewhere:
        state += f"; connects from {probe.connected_country} AS{probe.connected_asn}"
    return state


async def _probes_list(database: Database) -> None:
    rows = [("id", "role", "owner", "country", "network", "last seen", "state")]
    rows.extend(
        (
            probe.id,
            probe.role,
            probe.owner,
            probe.country,
            f"AS{probe.asn}",
            rfc3339(probe.last_seen) or "never",
            _probe_state(probe),
        )
        for probe in await database.registry.probes()
    )
    print("\n".join(table(rows)))


def _size_text(found: StoreSize, retention_days: int) -> str:
    rows = [("table", "rows", "bytes", "bytes a measurement")]
    measurements = sum(n for _, n in found.days)
    for each in found.tables:
        share = each.bytes / measurements if each.bytes and measurements else None
        rows.append(
            (
                each.table,
                f"{each.rows:,}",
                "" if each.bytes is None else f"{each.bytes:,}",
                "" if share is None else f"{share:,.1f}",
            )
        )
    lines = [*table(rows), "", f"{found.bytes:,} bytes, {found.free:,} of them free"]
    expected = forecast(found, retention_days)
    if expected is None:
        return "\n".join([*lines, "no day is over yet: nothing is known about the growth"])
    lines += [
        f"{expected.per_day:,} measurements a day (mean of the last {expected.days} days)",
        f"{expected.bytes_each:,.0f} bytes a measurement, {expected.kept_each:,.1f} of which stay",
        f"expected with {retention_days} days of measurements: {expected.steady:,} bytes, and "
        f"{expected.steady_after_a_year:,} after a year",
        f"expected after a year without pruning: {expected.unpruned:,} bytes",
    ]
    return "\n".join(lines)


def _agree_to_drop(days: Sequence[tuple[int, int]]) -> None:
    """Ask on a terminal before more days are dropped than pass between two runs. Raises OptionError
    where nobody agrees."""
    if len(days) <= UNASKED_DAYS:
        return
    measurements = sum(number for _, number in days)
    losses = (
        f"{len(days):,} days would be dropped, {date_of(days[0][0])} to {date_of(days[-1][0])}, "
        f"with {measurements:,} measurements"
    )
    if not sys.stdin.isatty():
        raise OptionError(f"{losses}: add --yes if that is what you want")
    print(f"{losses}. Type yes to drop them: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise OptionError("nothing was dropped")


async def _prune(given: argparse.Namespace, url: str) -> None:
    from monitor.store.retention import days_to_drop, prune, retention_clock

    until = await retention_clock(url, wall_clock())
    before = max(0, until - 1000 * given.older_than)
    hours = max(0, until - 1000 * given.hours_older_than)
    if not given.yes:
        _agree_to_drop(await days_to_drop(url, before))
    line = ProgressLine(sys.stderr)

    def progress(day: int) -> None:
        line.show(str(date_of(day)))

    if given.archive is None:
        pruned = await prune(url, before, None, progress, hours)
    else:
        async with _archive_of(given, url) as write:
            pruned = await prune(url, before, write, progress, hours)
    line.clear()
    print(
        f"{pruned.measurements:,} measurements dropped, "
        f"{pruned.witnesses_kept:,} kept as evidence of events"
    )
    if pruned.days_summed_up:
        print(f"hourly counts of {pruned.days_summed_up:,} days merged into daily counts")


@asynccontextmanager
async def _archive_of(
    given: argparse.Namespace, url: str
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """What writes a day of the store to the archive. Raises OptionError."""
    # Imported here: only these commands need pyarrow.
    from monitor.interop.archive import Archive, ArchiveError
    from monitor.interop.parquet import ParquetMissingError

    try:
        archive = Archive(given.archive or data_directory(given) / ARCHIVE)
        async with await open_database(url) as database:

            async def write(day: int) -> None:
                await archive.write(database, day)

            yield write
    except (ArchiveError, ParquetMissingError) as error:
        raise OptionError(str(error)) from None


async def _archive(given: argparse.Namespace, url: str) -> None:
    from monitor.store.reading.days import list_days

    async with await open_database(url) as database, database.reading() as connection:
        before = day_of(given.before if given.before is not None else wall_clock())
        days = [each for each in await list_days(connection) if each[0] < before]
    async with _archive_of(given, url) as write:
        for day, measurements in days:
            await write(day)
            print(f"{date_of(day)}: {measurements:,} measurements")
    print(f"{len(days):,} days archived")


async def _db(given: argparse.Namespace, url: str) -> int:
    from monitor.store.move import move
    from monitor.store.size import size

    match given.command:
        case "db migrate":
            changed = await migrate(url)
            print("upgraded" if changed else "already up to date")
        case "db size":
            print(_size_text(await size(url), -(-given.retention // 86_400)))
        case "db prune":
            await _prune(given, url)
        case "db move":
            line = ProgressLine(sys.stderr)
            copied = await move(
                url, given.to, lambda table, rows: line.show(f"{table}: {rows:,} rows")
            )
            line.clear()
            print(f"{sum(copied.values()):,} rows copied")
    return 0
