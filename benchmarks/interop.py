# SPDX-License-Identifier: Apache-2.0
"""How fast OONI's observations get into a store: `./scripts/bench interop [ROWS]`.

Makes files of made-up runs in OONI's two forms (flat CSV, raw JSON Lines), imports them into a new
SQLite store with the very code of `reachwatch import ooni`, and prints rows a second of CPU time
of this process (one core; SQLite's own thread included), then again, when all of it is known.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.interop.flat import COLUMNS
from monitor.interop.importing import Importer
from monitor.interop.ooni.target_index import TargetIndex
from monitor.store.database import open_database
from probes.catalogue.load import load

GOAL = 20_000
ADDRESSES = ("149.154.175.50", "149.154.167.51", "95.161.76.100")
ADDRESSES += ("149.154.175.100", "149.154.167.91", "149.154.171.5")
PORTS = (80, 443)


def runs(rows: int) -> Iterator[dict[str, str]]:
    """What all rows of a run share, for as many runs as make so many rows."""
    for number in range(rows // (len(ADDRESSES) * len(PORTS) * 2 + 1)):
        minute, day = number % 1440, 1 + number // 1440 % 28
        month = 1 + number // 1440 // 28 % 12
        asn = 64500 + number % 40
        yield {
            "report_id": f"20260101T000000Z_telegram_KE_{asn}_n1_{number}",
            "test_name": "telegram",
            "test_version": "0.3.1",
            "measurement_uid": f"u{number}",
            "probe_cc": "KE",
            "probe_asn": str(asn),
            "resolver_asn": str(asn),
            "network_type": "wifi",
            "measurement_start_time": f"2026-{month:02}-{day:02} {minute // 60:02}:"
            f"{minute % 60:02}:00+00:00",
        }


def write_csv(path: Path, rows: int) -> int:
    """A CSV file as ooni/data flattens runs; how many rows it has."""
    count = 0
    with gzip.open(path, "wt", newline="", compresslevel=1) as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for run in runs(rows):
            web = {"hostname": "web.telegram.org", "ip": "149.154.167.99", "port": "443.0"}
            web |= {"dns_engine": "system", "dns_answer": "149.154.167.99", "tcp_success": "1.0"}
            writer.writerow(run | web | {"tls_success": "1", "tls_handshake_time": "0.1"})
            for address in ADDRESSES:
                for port in PORTS:
                    writer.writerow(
                        run | {"ip": address, "port": f"{port}.0", "tcp_success": "1.0"}
                    )
                    url = f"http://{address}:{port}/"
                    writer.writerow(run | {"hostname": address, "http_request_url": url})
            count += 1 + 2 * len(ADDRESSES) * len(PORTS)
    return count


def write_json(path: Path, rows: int) -> int:
    """The same runs as raw measurements; how many observations they hold."""
    count = 0
    with path.open("w") as file:
        for run in runs(rows):
            connects, requests = [], []
            for address in ADDRESSES:
                for port in PORTS:
                    status = {"failure": None, "success": True}
                    connects.append({"ip": address, "port": port, "status": status, "t": 0.2})
                    url = {"method": "POST", "url": f"http://{address}:{port}/"}
                    answer = {"code": 501, "headers": {}, "body": "<html></html>"}
                    requests.append({"failure": None, "request": url, "response": answer, "t": 1.0})
            document = {
                **run,
                "input": None,
                "probe_asn": f"AS{run['probe_asn']}",
                "resolver_asn": f"AS{run['resolver_asn']}",
                "test_keys": {"tcp_connect": connects, "requests": requests},
            }
            file.write(json.dumps(document) + "\n")
            count += len(connects) + len(requests)
    return count


async def measured(folder: Path, name: str, file: Path, rows: int) -> float:
    """Import twice; rows a second of CPU time, the first time."""
    database = await open_database(f"sqlite+aiosqlite:///{folder / name}.sqlite")
    rates = []
    try:
        for turn in ("new", "known"):
            importer = Importer(database, TargetIndex(load()), io.StringIO())
            began, cpu = time.perf_counter(), time.process_time()
            await importer.file(str(file))
            spent, took = time.process_time() - cpu, time.perf_counter() - began
            tally = importer.counts
            assert tally.refused == tally.unreadable == 0, "a row of our own was refused"
            assert tally.rows == rows, f"{tally.rows} of {rows} rows"
            rates.append(rows / spent)
            print(
                f"{name:5} {turn:6} {rows:>9,} rows  {rows / spent:>9,.0f} rows/s of CPU  "
                f"{rows / took:>9,.0f} rows/s of wall clock  {tally.new:>8,} measurements"
            )
    finally:
        await database.close()
    return rates[0]


def main() -> int:
    """Run; 0 when the goal was reached with CSV."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(prefix="reachwatch-bench-") as temporary:
        folder = Path(temporary)
        flat, raw = folder / "runs.csv.gz", folder / "runs.jsonl"
        flat_rows, raw_rows = write_csv(flat, rows), write_json(raw, rows)
        rate = asyncio.run(measured(folder, "csv", flat, flat_rows))
        asyncio.run(measured(folder, "json", raw, raw_rows))
    print(f"goal: {GOAL:,} rows/s of CPU from CSV: {'reached' if rate >= GOAL else 'missed'}")
    return 0 if rate >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
