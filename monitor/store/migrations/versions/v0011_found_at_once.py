# SPDX-License-Identifier: Apache-2.0
"""When the last batch arrived; PostgreSQL: days of strips are read from indexes alone, and a batch
is not looked for among all of its day."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_SUMS = "kinds, n, judged, failing, vantages"
_POSTGRESQL = (
    "DROP INDEX ix_batch_first_round",
    "CREATE INDEX ix_batch_default_first_round ON batch_default (first_round)",
    "DROP INDEX ix_service_day_service_asn_day",
    "ALTER TABLE service_day DROP CONSTRAINT pk_service_day, ADD CONSTRAINT pk_service_day "
    f"PRIMARY KEY (country, asn, service, day) INCLUDE ({_SUMS})",
    "CREATE INDEX ix_service_day_service_asn_day_country ON service_day "
    f"(service, asn, day, country) INCLUDE ({_SUMS})",
    "ALTER TABLE service_day SET (autovacuum_vacuum_insert_scale_factor = 0.01)",
)


def upgrade() -> None:
    op.execute(
        "INSERT INTO cursor (name, value) "
        "SELECT 'received', received FROM batch ORDER BY first_arrival DESC LIMIT 1"
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in _POSTGRESQL:
            op.execute(statement)
