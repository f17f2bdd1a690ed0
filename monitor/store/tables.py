# SPDX-License-Identifier: Apache-2.0
"""Every table of the store, in SQLAlchemy Core, the same on SQLite and PostgreSQL.

Times are Unix milliseconds, UTC. Of a measurement there is one narrow row, and its line is in the
batch that it arrived in. A vantage and a target are stored once and referred to by
number, because there are a hundred million measurement rows; what pages read (cell, event)
has its texts in full. No query and no transaction is here. A new store is created from these
tables; one of an earlier version is brought to them by `monitor/store/migrations`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class HexId(TypeDecorator[str]):
    """A measurement id: 32 hex digits in Python, 16 bytes in the database."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        """Hex digits to bytes."""
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> str | None:
        """Bytes to hex digits."""
        return None if value is None else bytes(value).hex()


BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits on both; SQLite numbers rows automatically only with its own type INTEGER."""

DAY_OF_ROUND = "round / 86400000"
"""As SQL; SQLite uses the index on (day, id) for queries that say it letter for letter."""

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _by_arrival(column: str) -> tuple[sa.schema.SchemaItem, ...]:
    """How rows are found by their arrival number: PostgreSQL's partitioned tables can have no key
    without the column that they are partitioned by."""
    return (
        sa.PrimaryKeyConstraint(column).ddl_if(dialect="sqlite"),
        sa.Index(None, column).ddl_if(dialect="postgresql"),
    )


# -- facts --------------------------------------------------------------------------------

vantage = sa.Table(
    "vantage",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("enrolled", sa.BigInteger, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("asn", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.UniqueConstraint("probe", "owner", "role", "enrolled", "country", "asn", "source"),
)
"""Who measured and where: a probe that moves to another network gets another row."""

target = sa.Table(
    "target",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("service", sa.Text, nullable=False, index=True),
)

batch = sa.Table(
    "batch",
    metadata,
    sa.Column("first_arrival", BIG, nullable=False, autoincrement=False),
    sa.Column("last_arrival", sa.BigInteger, nullable=False),
    sa.Column("first_round", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("vantage", sa.Integer, nullable=False),
    # What `prune` asks for.
    sa.Index("ix_batch_first_round", "first_round").ddl_if(dialect="sqlite"),
    # What one probe measured lately.
    sa.Index("ix_batch_vantage_first_round", "vantage", "first_round"),
    *_by_arrival("first_arrival"),
    postgresql_partition_by="RANGE (first_round)",
)
"""A batch byte for byte as it arrived (`probes.wire.codec.decode_batch`), so that its signature can
be verified for as long as it is kept. `first_round` is the oldest round of the newest day in it, so
that it is dropped with the last of its measurements; `vantage` is that of its first measurement."""

measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("arrival", BIG, nullable=False, autoincrement=False),
    sa.Column("round", sa.BigInteger, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("vantage", sa.Integer, nullable=False),
    sa.Column("target", sa.Integer, nullable=False),
    sa.Column("interval_ms", sa.Integer, nullable=False),
    sa.Column("place", sa.SmallInteger, nullable=False),
    sa.Column("id", HexId, nullable=False),
    # Facts of a service in a range of rounds, and the rounds there are: both are answered by
    # seeks, one a target, in this index.
    sa.Index("ix_measurement_target_round", "target", "round", "interval_ms"),
    *_by_arrival("arrival"),
    sa.Index("uq_measurement_day_id", sa.text(DAY_OF_ROUND), "id", unique=True).ddl_if(
        dialect="sqlite"
    ),
    postgresql_partition_by="RANGE (round)",
)
"""`arrival` grows in the order of commits and is never used twice, so a reader that remembers the
last one misses nothing. It is the `first_arrival` of its batch plus the `place` of its line there:
lines that were refused, or known before, leave gaps. Numbers of vantages and targets are not
declared as foreign keys: checking them costs PostgreSQL more than the row itself.

An id is unique among the measurements of the day (UTC) of its round; what is sent again has the
same round, and admission binds an id to its probe. So a day can be dropped without touching an
index of all days: `batch` and `measurement` have a partition a day on PostgreSQL
(`monitor.store.partitions`), and on SQLite the index of ids begins with the day."""

SUMS = "kinds, n, judged, failing, vantages"
"""Columns of the sums by hour and by day, beside the key."""

POSTGRESQL = (
    # It is compressed already; trying again costs time and gains nothing.
    "ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL",
    "CREATE TABLE batch_default PARTITION OF batch DEFAULT",
    "CREATE TABLE measurement_default PARTITION OF measurement DEFAULT",
    # Several days are in it: an id is unique within one.
    f"CREATE UNIQUE INDEX uq_measurement_default_id ON measurement_default (id, ({DAY_OF_ROUND}))",
    # What `prune` asks for. Not of each day: whoever gives the day to find a batch would be given
    # all of that day, where nothing is known of how numbers are distributed.
    "CREATE INDEX ix_batch_default_first_round ON batch_default (first_round)",
    # Rows are stored in order of days. What a strip shows of a quarter is next to each other in
    # these indexes, and is read from them alone.
    f"ALTER TABLE service_day DROP CONSTRAINT pk_service_day, ADD CONSTRAINT pk_service_day "
    f"PRIMARY KEY (country, asn, service, day) INCLUDE ({SUMS})",
    "CREATE INDEX ix_service_day_service_asn_day_country ON service_day "
    f"(service, asn, day, country) INCLUDE ({SUMS})",
    # That is so once they are vacuumed: every few days, not after a fifth of all days.
    "ALTER TABLE service_day SET (autovacuum_vacuum_insert_scale_factor = 0.01)",
)
"""What PostgreSQL needs beside the tables."""

arrival_chain = sa.Table(
    "arrival_chain",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("round_day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first_arrival", sa.BigInteger, nullable=False),
    sa.Column("last_arrival", sa.BigInteger, nullable=False),
    sa.Column("batches", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
)
"""Hashes over the batches that arrived on each day (`monitor.store.arrival_chain`), kept when a day
is dropped. Both days are counted from 1970-01-01."""

stored_day = sa.Table(
    "stored_day",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("measurements", sa.BigInteger, nullable=False),
)
"""How many measurements there are of the rounds of a day, counted from 1970-01-01 (UTC)."""

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("number", BIG, primary_key=True, autoincrement=True),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Index("ix_quarantine_probe_number", "probe", "number"),
    sqlite_autoincrement=True,
)
"""The newest rows of each probe; `tally` still counts what was deleted."""

delivered = sa.Table(
    "delivered",
    metadata,
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("spool", sa.Text, primary_key=True),
    sa.Column("outcome", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
    sa.Column("first_received", sa.BigInteger, nullable=False),
    sa.Column("last_received", sa.BigInteger, nullable=False),
    sa.Column("least_delay", sa.BigInteger, nullable=False),
    sa.Column("most_delay", sa.BigInteger, nullable=False),
)
"""Which measurements of each spool arrived, as runs of their numbers (`monitor.store.delivery`):
`day` is that of their rounds, counted from 1970-01-01. Kept when a day is dropped."""

followed_file = sa.Table(
    "followed_file",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("runs", sa.Integer, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
    sa.Index("ix_followed_file_source_hour", "source", "hour"),
)
"""What has been read of each file of a public source (`monitor.store.followed`)."""

followed_source = sa.Table(
    "followed_source",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""How far each public source has been followed, as JSON."""

tally = sa.Table(
    "tally",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)
"""Counters since the database was made, written with what they count: `ingested`, `duplicate`,
`conflicting` (reason empty) and `quarantined` by reason. They never decrease."""

# -- conclusions ----------------------------------------------------------------------------

verdict = sa.Table(
    "verdict",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("round", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # The newest of all services, and what `prune` asks for.
    sa.Index("ix_verdict_round_service", "round", "service"),
)
"""Every verdict on a service's measurements of one round, in one frame
(`monitor.store.verdicts`): most of a fleet's verdicts are equal, and are then two bytes each."""

cell = sa.Table(
    "cell",
    metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("country", sa.Text, primary_key=True),
    sa.Column("asn", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("layer", sa.Text),
    sa.Column("technique", sa.Text),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("vantages", sa.Integer, nullable=False),
    sa.Column("all_vantages", sa.Integer, nullable=False),
    sa.Column("hours", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Index("ix_cell_target_country_asn_hour", "target", "country", "asn", "hour"),
)
"""Histogram of the verdicts of one hour: `hour` is its first millisecond, `n` counts
measurements with this state and rule and `vantages` the probes that made them; `all_vantages`
counts the probes of the whole (hour, target, country, asn), because one probe may be in
several rows. Old cells are summed up (`monitor.store.rollup`): `hours` is then 24, `hour` the first
millisecond of the day, and vantages are those of its fullest hour. Cells serve pages; the detector
never reads them."""


def _sums(name: str, unit: str, *indexes: sa.Index) -> sa.Table:
    """Cells summed up by service and network, and by service and country (`asn` -1);
    `monitor.store.service_hours` says what the columns count."""
    return sa.Table(
        name,
        metadata,
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("asn", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column(unit, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kinds", sa.Integer, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("judged", sa.BigInteger, nullable=False),
        sa.Column("failing", sa.BigInteger, nullable=False),
        sa.Column("vantages", sa.BigInteger, nullable=False),
        *indexes,
    )


service_hour = _sums(
    "service_hour", "hour", sa.Index("ix_service_hour_service_asn_hour", "service", "asn", "hour")
)
"""Of the last days."""
service_day = _sums(
    "service_day",
    "day",
    sa.Index("ix_service_day_service_asn_day", "service", "asn", "day").ddl_if(dialect="sqlite"),
)
"""By day (UTC; `day` is its first millisecond), as far as the day was measured; kept for ever."""

cell_axes = sa.Table(
    "cell_axes",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("service", "country"),
)
"""What the positions in the sums of a service in a country stand for
(`monitor.store.cell_sums.Axes`), as JSON."""

cell_sum = sa.Table(
    "cell_sum",
    metadata,
    sa.Column("axes", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""All cells of a service in a country in an hour, a day or eight days (`span`, in milliseconds), as
a vector (`monitor.store.cell_sums`). Hours that were summed up to a day are one row as well."""

detector_state = sa.Table(
    "detector_state",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("round", sa.BigInteger, nullable=False),
    sa.Column("arrival", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("late", sa.BigInteger),
)
"""`round` is the last one that was folded. All measurements of rounds up to it that arrived up to
`arrival` are in the state, but those of rounds from `late` on (NULL: none), which came after their
round was folded and are yet to be folded."""

state_part = sa.Table(
    "state_part",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("round", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""The state of each service: the first row is a whole one, each later row is what changed since the
row before it, up to the round of `detector_state`."""

checkpoint = sa.Table(
    "checkpoint",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("round", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("onset", sa.BigInteger, nullable=False),
    sa.Column("opened", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("closed", sa.BigInteger),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_event_state_onset", "state", "onset"),
    sa.Index("ix_event_service_country_onset", "service", "country", "onset"),
    sa.Index("ix_event_country_onset", "country", "onset"),
    sa.Index("ix_event_onset_id", "onset", "id"),
)
"""`body` is the whole `monitor.detection.model.Event` as JSON."""

round_evidence = sa.Table(
    "round_evidence",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("country", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("round", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("decided", sa.SmallInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""What vantages with evidence against a service had after a round, in one frame
(`monitor.store.evidence`). `decided` is 1 when an event there opened, rose or ended in it."""

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("number", BIG, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("transition", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=True),
    sa.UniqueConstraint("event", "transition"),
    sqlite_autoincrement=True,
)
"""What was first published, and when (`at`, wall clock). Append-only; replay neither reads nor
prints it. `reachwatch_block_events_total` is counted from here. `body` is the event as it was
published (compressed JSON), of which `monitor.store.reading.published` shows the past; null of
notes, and of events that a refold removed. Entries named `monitor.store.records.DETAILS` hold an
event as it was shown after a change that is no transition."""

event_note = sa.Table(
    "event_note",
    metadata,
    sa.Column("number", BIG, primary_key=True, autoincrement=True),
    sa.Column("event", sa.Text, nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("series", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
"""What operators say of events (`monitor.store.notes`), by the id of the event, which a replay
does not change. Append-only; the detector reads the retractions. `series`: of a retraction, the
[target, network, layer] of the event then, as JSON; empty for a note."""

cursor = sa.Table(
    "cursor",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""`detector`: last arrival folded. `arrival`: last arrival number that was given. `received`: when
the last batch arrived. `pruned`: measurements of rounds before this were dropped, and are not
stored again. `rolled`: hours before this were summed up to days."""

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)
"""Grows in every transaction that changes the conclusions about a service, and is never reset: who
keeps them in memory reads again only what changed."""

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)

open_retest = sa.Table(
    "open_retest",
    metadata,
    sa.Column("number", BIG, primary_key=True, autoincrement=True),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("asn", sa.BigInteger, nullable=False),
    sa.Column("ends", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""What probes of a network are asked to measure again, as on MQTT, for those that are not connected
to a broker. After `ends` nobody can meet the request, and the next one removes it."""

# -- registry -------------------------------------------------------------------------------

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("secret_sha256", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("uses_left", sa.Integer, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger),
)

probe = sa.Table(
    "probe",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("enrolled", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("asn", sa.BigInteger, nullable=False),
    sa.Column("last_seen", sa.BigInteger),
    sa.Column("status", sa.LargeBinary, nullable=False),
    sa.Column("secret_hash", sa.Text, nullable=False),
    sa.Column("seen_country", sa.Text, nullable=False, server_default=""),
    sa.Column("seen_asn", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("vouched", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("connected_country", sa.Text, nullable=False, server_default=""),
    sa.Column("connected_asn", sa.BigInteger, nullable=False, server_default="0"),
    # Known to the probe alone: from it come the marks of whom a retest asks.
    sa.Column("mark", sa.Text, nullable=False, server_default=""),
)

probe_key = sa.Table(
    "probe_key",
    metadata,
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger),
)
"""Keys that probes sign with, or did: what is stored can be verified for as long as it is kept."""
