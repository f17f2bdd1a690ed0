# SPDX-License-Identifier: Apache-2.0
"""Measurements as flat rows: the columns of OONI's `obs_web` (ooni/data `WebObservation`), for CSV
and Parquet. One row for each DNS answer, connect, handshake or request.

Columns that name owners of addresses or hold somebody's conclusions stay empty: rows hold facts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from monitor.detection.model import Stored
from monitor.interop.csv_text import inert
from monitor.interop.dictionary import columns_of
from monitor.interop.ooni.extension import TEST
from monitor.interop.ooni.writing import report_id, url_of
from probes.wire.observation import (
    DNSLookup,
    HTTPExchange,
    Known,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

COLUMNS = columns_of("observations")
FlatRow = dict[str, str]


def rows(stored: Stored) -> Iterator[FlatRow]:
    """The rows of one measurement, with the columns that have a value."""
    measured, place = stored.measurement, stored.measurement.vantage
    when = dt.datetime.fromtimestamp(measured.started / 1000, dt.UTC)
    base = {
        "report_id": report_id(stored),
        "input": measured.target,
        "test_name": TEST,
        "test_version": str(measured.v),
        "measurement_uid": f"{when:%Y%m%d%H%M%S.%f}_{place.country}_{TEST}_{measured.id[:16]}",
        "probe_cc": place.country,
        "probe_asn": str(place.asn),
        "network_type": "unknown",
        "measurement_start_time": f"{when:%Y-%m-%d %H:%M:%S}+00:00",
        "resolver_asn": str(place.resolver_asn),
    }
    for seen in measured.observations:
        if isinstance(seen, Unrecognised):
            continue
        failed = seen.failure or ""
        for layer, columns in _columns(seen):
            yield {
                **base,
                **{name: str(inert(value)) for name, value in columns.items()},
                "failure_class": layer if failed else "ok",
                "failure_str_full": f"{layer}.{failed}" if failed else "ok",
                "failure_str": str(inert(failed)),
                "failure_str_raw": str(inert(failed)),
            }


def _columns(seen: Known) -> Iterator[tuple[str, FlatRow]]:
    """(layer as OONI names it, columns) of each row that an observation makes."""
    match seen:
        case DNSLookup():
            asked = {
                "hostname": seen.name,
                "dns_engine": "system" if seen.resolver == "system" else seen.transport,
                "dns_failure": seen.failure or "",
            }
            for answer in seen.answers or ("",):
                yield "dns", {**asked, "ip": answer, "dns_answer": answer}
        case TCPConnect():
            yield (
                "tcp",
                {
                    "hostname": _host(seen),
                    "ip": seen.address,
                    "port": str(seen.port),
                    "tcp_success": "0" if seen.failure else "1",
                    "tcp_failure": seen.failure or "",
                },
            )
        case TLSHandshake():
            valid = "" if seen.verify_code is None else "1" if seen.verify_code == 0 else "0"
            yield (
                "tls",
                {
                    "hostname": _host(seen),
                    "ip": seen.address,
                    "port": str(seen.port),
                    "tls_success": "0" if seen.failure else "1",
                    "tls_failure": seen.failure or "",
                    "tls_handshake_time": f"{seen.took_us / 1e6:.6f}",
                    "tls_handshake_read_bytes": str(seen.received_bytes),
                    "tls_handshake_write_bytes": str(seen.sent_bytes),
                    "tls_is_certificate_valid": valid,
                    "tls_certificate_chain_length": str(len(seen.chain)) if seen.chain else "",
                },
            )
        case HTTPExchange():
            yield (
                "https" if seen.tls else "http",
                {
                    "hostname": seen.host,
                    "ip": seen.address,
                    "http_request_url": url_of(seen),
                    "http_failure": seen.failure or "",
                    "http_runtime": f"{seen.took_us / 1e6:.6f}",
                },
            )
        case _:
            return  # no columns of theirs


def _host(seen: Known) -> str:
    """The host name of an endpoint; empty where the app dials an address."""
    name = seen.endpoint.rpartition("/")[0].rpartition(":")[0]
    return "" if name.startswith("[") or name.replace(".", "").isdigit() else name
