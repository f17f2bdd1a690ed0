"""Log lines of the monitor: short text on a terminal, JSON anywhere else. Never a secret, never
a caller's address: what is logged is ours.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys


class JSONLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        row = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)


def configure(level: int = logging.INFO) -> None:
    """Send everything to stderr."""
    lines = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        lines.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    else:
        lines.setFormatter(JSONLines())
    logging.basicConfig(level=level, handlers=[lines], force=True)
    # Web server access lines would hold volunteers' addresses.
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("alembic").setLevel(logging.WARNING)
