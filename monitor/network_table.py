# SPDX-License-Identifier: Apache-2.0
"""The table of countries and networks that a monitor uses: which file, how old, and what it tells
of an address.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from monitor.paths import DEFAULT_DATA
from probes.runtime.geo_table import FILE_NAME, UNKNOWN_COUNTRY, GeoError, GeoTable, Origin
from probes.runtime.options import OptionError
from probes.wire.countries import COUNTRIES

log = logging.getLogger(__name__)
SHIPPED = Path("/usr/local/share/reachwatch", FILE_NAME)
"""Where the image of the monitor has one (deploy/monitor/Dockerfile), or an installation."""
DATABASES = (
    Path("/var/lib/location/database.db"),
    Path("/usr/share/libloc-location/location.db"),
)
"""Where Debian's packages have a database that a table can be made from: `location` what it fetched
itself, `libloc-database` that of the release."""
OLD = dt.timedelta(days=365)
"""Older than this, a table tells of too many networks what has changed since."""
_REAL = COUNTRIES - {UNKNOWN_COUNTRY}


def path_of(given: argparse.Namespace, shipped: Path) -> Path | None:
    """The file of `--geo`, else the table in the data directory, else the one that is shipped; None
    where there is none."""
    if given.geo is not None:
        return Path(given.geo)
    tables = ((given.data or DEFAULT_DATA) / FILE_NAME, shipped)
    # Path.is_file would raise for one in a folder that this user may not enter.
    return next((path for path in tables if os.path.isfile(path)), None)


def opened(given: argparse.Namespace, today: dt.date) -> GeoTable | None:
    """The table that enrolments are compared with. Raises OptionError."""
    path = path_of(given, SHIPPED)
    if path is None:
        directory = given.data or (SHIPPED.parent if given.database else DEFAULT_DATA)
        if advice := how_to_make(directory):
            log.info("%s", advice)
        return None
    try:
        table = GeoTable(path)
    except GeoError as error:
        raise OptionError(f"--geo: {error}") from None
    if is_old(table.origin, today):
        log.warning(
            "%s: this table of networks is of %s, more than a year old: of networks that have "
            "moved since it tells the former place",
            path, table.origin.made,
        )  # fmt: skip
    return table


def is_old(origin: Origin, today: dt.date) -> bool:
    """Whether a table is known to be more than a year old."""
    return origin.made is not None and today - origin.made > OLD


def how_to_make(directory: Path, databases: Iterable[Path] = DATABASES) -> str:
    """What to do for a table in the directory, in one line; empty where this machine has no
    database for it."""
    database = next((path for path in databases if path.is_file()), None)
    if database is None:
        return ""
    install = "" if shutil.which("location") else "apt-get install location && "
    return (
        "there is no table of networks, so probes are believed where they are; to make one: "
        f"{install}location --database {database} dump >networks.txt && "
        f"{sys.executable} -m probes geo update --from networks.txt --state {directory}"
    )


def place_of(table: GeoTable | None, address: str) -> tuple[str, int]:
    """Country and network of an address; ("", 0) where they are not known. A table knows the place
    of an address when it has both: of one without a network it has only where its block was
    registered, and `EU` is no country."""
    location = table.lookup(address) if table is not None else None
    if location is None or location.country not in _REAL or not location.asn:
        return "", 0
    return location.country, location.asn
