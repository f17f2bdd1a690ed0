# SPDX-License-Identifier: Apache-2.0
"""Sums of the hourly cells by service and place, from which strips are drawn: by hour for the last
days, by day (UTC) for ever.

A strip of a service in a country is made of thousands of cells (targets × networks × states), and
pages draw dozens of strips; the sum has one row an hour. What a strip shows of an hour is which
kinds its series (a target in a network) have, so kinds are kept as a set of bits: the set of a
country is the union of those of its networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import State
from monitor.store.tables import SUMS
from probes.wire.measurement import service_of

HOUR_MS = 3_600_000
EVERY_NETWORK = -1
"""As `asn`: all networks of the country together."""
DAY_MS = 24 * HOUR_MS
KEPT_HOURS = 8 * 24
"""Strips of a week are drawn from hours, longer ones from days."""
KINDS = ("ok", "blocked", "impaired", "down", "unclear", "mixed", "none")
"""Kinds of a series in an hour; the position is the bit in `service_hour.kinds`. A series is of
the kind that three quarters of its verdicts have, else it is mixed; none: nothing conclusive."""
WENT_DOWN = 1 << len(KINDS)
"""A further bit of `kinds`: some verdict of a series found the service down, of whatever kind the
hour is."""
_STATES = {
    "ok": (State.OK,),
    "blocked": (State.BLOCKED,),
    "impaired": (State.IMPAIRED, State.THROTTLED),
    "down": (State.DOWN,),
    "unclear": (State.INCONCLUSIVE,),
}
CellKey = tuple[int, str, str, int]
"""(hour, target, country, asn)."""


def _counts() -> str:
    """One column a kind: verdicts of this kind."""
    return ", ".join(
        f"sum(CASE WHEN c.state IN ({', '.join(repr(state.value) for state in states)}) "
        f"THEN c.n ELSE 0 END) AS {kind}"
        for kind, states in _STATES.items()
    )


def _bits() -> str:
    """The kinds of all series of a group, as a set of bits, with WENT_DOWN as the last."""
    most = {kind: f"judged > 0 AND {kind} * 4 >= judged * 3" for kind in _STATES}
    when = [*most.values(), f"judged > 0 AND NOT ({' OR '.join(most.values())})", "judged = 0"]
    return " + ".join(
        f"{1 << bit} * max(CASE WHEN {condition} THEN 1 ELSE 0 END)"
        for bit, condition in enumerate([*when, "down > 0"])
    )


def share_of(states: Mapping[State, int]) -> tuple[int, int]:
    """How many of the verdicts of a series, counted by state, are conclusive, and how many of them
    found it blocked, throttled or impaired."""
    kinds = {kind: sum(states.get(state, 0) for state in mine) for kind, mine in _STATES.items()}
    return sum(kinds.values()), kinds["blocked"] + kinds["impaired"]


def kinds_of(states: Mapping[State, int]) -> int:
    """What `_bits` gives of one series whose verdicts are counted by state."""
    judged, _failing = share_of(states)
    kinds = {kind: sum(states.get(state, 0) for state in mine) for kind, mine in _STATES.items()}
    most = [judged > 0 and 4 * n >= 3 * judged for n in kinds.values()]
    told = [*most, judged > 0 and not any(most), judged == 0, kinds["down"] > 0]
    return sum(1 << bit for bit, so in enumerate(told) if so)


def _hours(chosen: str) -> tuple[str, str]:
    """Common table expressions, and the SELECT over them that gives the hours of the cells `c` of
    targets `t` that are chosen."""
    judged = " + ".join(_STATES)
    return (
        "counted AS (SELECT c.country, c.asn, t.service, c.hour, c.target, sum(c.n) AS n, "
        f"max(c.all_vantages) AS vantages, {_counts()} FROM target t JOIN cell c "
        f"ON c.target = t.id WHERE {chosen} "
        "GROUP BY c.country, c.asn, t.service, c.hour, c.target), "
        f"series AS (SELECT counted.*, {judged} AS judged FROM counted), "
        f"networks AS (SELECT country, asn, service, hour, {_bits()} AS kinds, sum(n) AS n, "
        "sum(judged) AS judged, sum(blocked + impaired) AS failing, max(vantages) AS vantages "
        "FROM series GROUP BY country, asn, service, hour)",
        "SELECT country, asn, service, hour, kinds, n, judged, failing, vantages FROM networks "
        f"UNION ALL SELECT country, {EVERY_NETWORK}, service, hour, {_UNION}, sum(n), "
        "sum(judged), sum(failing), sum(vantages) FROM networks GROUP BY country, service, hour",
    )


_UNION = " + ".join(f"max(kinds & {1 << bit})" for bit in range(len(KINDS) + 1))
_DAY = f"hour - hour % {DAY_MS}"


def insert_hours(chosen: str) -> str:
    """The statement that sums up the cells `c` of targets `t` that are chosen."""
    tables, select = _hours(chosen)
    return f"INSERT INTO service_hour (country, asn, service, hour, {SUMS}) WITH {tables} {select}"


def select_hours(chosen: str) -> str:
    """The same rows as a table expression, for hours whose sums are not kept."""
    tables, select = _hours(chosen)
    return f"(WITH {tables} {select})"


def insert_days(chosen: str) -> str:
    """The same by day."""
    tables, select = _hours(chosen)
    return (
        f"INSERT INTO service_day (country, asn, service, day, {SUMS}) "
        f"WITH {tables}, hours AS ({select}) SELECT country, asn, service, {_DAY}, {_UNION}, "
        f"sum(n), sum(judged), sum(failing), max(vantages) FROM hours "
        f"GROUP BY country, asn, service, {_DAY}"
    )


def _again(unit: str) -> str:
    """What ends a statement that replaces sums."""
    changed = ", ".join(f"{name} = excluded.{name}" for name in SUMS.split(", "))
    return f" ON CONFLICT (country, asn, service, {unit}) DO UPDATE SET {changed}"


_sum_up = sa.text(
    insert_hours(
        "c.hour = :hour AND c.country = :country AND t.service = :service "
        # By this the cells are found by target as well; by hour they are those of all countries.
        "AND c.target IN (SELECT id FROM target WHERE service = :service)"
    )
    + _again("hour")
)
_HOURS_ARE_KEPT = (
    ":day >= (SELECT max(h.hour) FROM service_hour h WHERE h.country = :country "
    f"AND h.asn = {EVERY_NETWORK} AND h.service = :service) - {KEPT_HOURS * HOUR_MS}"
)
_sum_up_days = sa.text(
    f"INSERT INTO service_day (country, asn, service, day, {SUMS}) "
    f"SELECT country, asn, service, {_DAY}, {_UNION}, "
    "sum(n), sum(judged), sum(failing), max(vantages) FROM service_hour "
    "WHERE country = :country AND asn = :asn AND service = :service "
    f"AND hour >= :day AND hour < :next AND {_HOURS_ARE_KEPT} "
    f"GROUP BY country, asn, service, {_DAY}" + _again("day")
)
_sum_up_older_days = sa.text(
    insert_days(
        # Where the hours are kept there is no such service, so no cell is read.
        f"t.service = (SELECT :service WHERE NOT ({_HOURS_ARE_KEPT})) "
        "AND c.country = :country AND c.hour >= :day AND c.hour < :next"
    )
    + _again("day")
)
_forget = sa.text(
    "DELETE FROM service_hour WHERE country = :country AND asn = :asn AND service = :service "
    "AND (hour = :hour OR hour < :oldest)"
)


async def sum_up(connection: AsyncConnection, places: Iterable[CellKey]) -> None:
    """Sum up the hours in which these cells were counted anew."""
    networks = {(hour, service_of(target), country, asn) for hour, target, country, asn in places}
    countries = {(hour, service, country) for hour, service, country, _ in networks}
    networks |= {(*place, EVERY_NETWORK) for place in countries}
    if not networks:
        return
    await connection.execute(
        _forget,
        [
            {
                "hour": hour,
                "oldest": hour - KEPT_HOURS * HOUR_MS,
                "service": service,
                "country": country,
                "asn": asn,
            }
            for hour, service, country, asn in sorted(networks)
        ],
    )
    await connection.execute(
        _sum_up,
        [
            {"hour": hour, "service": service, "country": country}
            for hour, service, country in sorted(countries)
        ],
    )
    days = {(h - h % DAY_MS, service, country, asn) for h, service, country, asn in networks}
    of_days = [
        {"day": day, "next": day + DAY_MS, "service": service, "country": country, "asn": asn}
        for day, service, country, asn in sorted(days)
    ]
    await connection.execute(_sum_up_days, of_days)
    of_countries = [day for day in of_days if day["asn"] == EVERY_NETWORK]
    await connection.execute(_sum_up_older_days, of_countries)
