# SPDX-License-Identifier: Apache-2.0
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


def nameless(record: logging.LogRecord) -> bool:
    """Take the caller's address out of what the web server says of a failure. A request that is
    no HTTP is answered with 400 and not told: whoever sends them would fill the log."""
    if record.exc_info and type(record.exc_info[1]).__module__ == "aiohttp.http_exceptions":
        return False
    if record.args:
        record.msg, record.args = "a request failed", ()
    return True


def configure() -> None:
    """Send everything to stderr."""
    lines = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        lines.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    else:
        lines.setFormatter(JSONLines())
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    # Web server access lines would hold volunteers' addresses.
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiohttp.server").addFilter(nameless)
    logging.getLogger("alembic").setLevel(logging.WARNING)
