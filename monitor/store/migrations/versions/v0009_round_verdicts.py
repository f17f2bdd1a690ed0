# SPDX-License-Identifier: Apache-2.0
"""Verdicts on a service in one round are one frame, no longer a row each; the table of the newest
verdicts goes, because the frames of the last rounds say the same. States of the detector say up to
which arrival they are complete."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
import sqlalchemy as sa
from alembic import op

from monitor.detection.model import Verdict
from monitor.store.shard import folded
from monitor.store.verdicts import pack

revision = "0009"
down_revision = "0008"
ROUNDS_AT_ONCE = 20
LOG = logging.getLogger("reachwatch.store")


def upgrade() -> None:
    connection = op.get_bind()
    op.drop_table("newest_verdict")
    for name in ("target_country_asn_round", "round_measurement"):
        op.drop_index(f"ix_verdict_{name}", "verdict")
    op.rename_table("verdict", "verdict_row")
    if connection.dialect.name == "postgresql":  # where the name of the key stays
        op.execute("ALTER TABLE verdict_row RENAME CONSTRAINT pk_verdict TO pk_verdict_row")
    op.create_table(
        "verdict",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("service", "round", name="pk_verdict"),
    )
    op.create_index("ix_verdict_round_service", "verdict", ["round", "service"])
    # A store of before 0006 has its measurements in a table of that name until they are in batches.
    names = sa.inspect(connection).get_table_names()
    sources = [name for name in ("measurement", "unbatched") if name in names]
    services = connection.execute(sa.text("SELECT DISTINCT service FROM verdict_row"))
    for service in sorted(services.scalars()):
        _pack_service(connection, service, sources)
    op.drop_table("verdict_row")
    zero = sa.Column("arrival", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("detector_state", zero)
    op.add_column("detector_state", sa.Column("late", sa.BigInteger))
    cursors = connection.execute(sa.text("SELECT name, value FROM cursor")).all()
    done = folded({row.name: row.value for row in cursors})
    connection.execute(sa.text("UPDATE detector_state SET arrival = :done"), {"done": done})


def _pack_service(connection: sa.Connection, service: str, sources: Sequence[str]) -> None:
    rounds = connection.execute(
        sa.text("SELECT DISTINCT round FROM verdict_row WHERE service = :service ORDER BY round"),
        {"service": service},
    ).scalars()
    every = list(rounds)
    if every:
        LOG.info("%s: packing the verdicts of %d rounds", service, len(every))
    union = " UNION ALL ".join(
        f"SELECT r.round, r.body, m.arrival, m.vantage FROM verdict_row r JOIN {name} m "
        "ON m.id = r.measurement WHERE r.service = :service AND r.round BETWEEN :first AND :last"
        for name in sources
    )
    query = sa.text(f"{union} ORDER BY 1")
    known: dict[bytes, Verdict] = {}
    for start in range(0, len(every), ROUNDS_AT_ONCE):
        some = every[start : start + ROUNDS_AT_ONCE]
        values = {"service": service, "first": some[0], "last": some[-1]}
        packed = []
        for round, rows in groupby(connection.execute(query, values), attrgetter("round")):
            entries = []
            for row in rows:
                body = bytes(row.body)
                if (said := known.get(body)) is None:
                    if len(known) > 10_000:
                        known.clear()
                    said = known[body] = msgspec.json.decode(body, type=Verdict)
                entries.append((row.arrival, row.vantage, said))
            packed.append({"service": service, "round": round, "body": pack(entries)})
        if packed:
            insert = "INSERT INTO verdict (service, round, body) VALUES (:service, :round, :body)"
            connection.execute(sa.text(insert), packed)
