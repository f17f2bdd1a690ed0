"""Where facts and conclusions are kept: SQLite by default, PostgreSQL by the same URL scheme."""
