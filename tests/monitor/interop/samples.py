"""Small measurements in OONI's formats, written for these tests: none is anybody's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from monitor.interop.flat import COLUMNS
from monitor.interop.ooni.csvrows import COLUMNS as READ
from monitor.interop.ooni.csvrows import ObservationRow
from monitor.interop.ooni.target_index import TargetIndex
from probes.catalogue.load import load

DC = ("149.154.175.50", "149.154.167.51", "95.161.76.100")
"""Three of the addresses that OONI's telegram test dials."""


@cache
def targets_by_name() -> TargetIndex:
    return TargetIndex(load())


def cells(**more: str) -> dict[str, str]:
    """One row, as a mapping: a run of `telegram` in a network of documentation."""
    base = dict.fromkeys(COLUMNS, "")
    base |= {
        "report_id": "20260101T000000Z_telegram_KE_64500_n1_x",
        "test_name": "telegram",
        "test_version": "0.3.1",
        "measurement_uid": "u1",
        "probe_cc": "KE",
        "probe_asn": "64500",
        "resolver_asn": "64500",
        "network_type": "wifi",
        "measurement_start_time": "2026-01-01 00:00:03+00:00",
        "tls_success": "0",
    }
    return base | more


def row(**more: str) -> ObservationRow:
    values = cells(**more)
    return ObservationRow._make(values[name] for name in READ)


def dc_cells(address: str, failure: str = "", port: str = "443.0", **more: str) -> dict[str, str]:
    done = "0.0" if failure else "1.0"
    return cells(ip=address, port=port, tcp_success=done, tcp_failure=failure, **more)


def web_cells(answer: str = "149.154.167.99", failure: str = "", **more: str) -> dict[str, str]:
    """The row of the web client: answer, connect and handshake in one."""
    return cells(
        hostname="web.telegram.org",
        ip=answer,
        port="443.0",
        dns_engine="system",
        dns_answer=answer,
        tcp_success="0.0" if failure else "1.0",
        tcp_failure=failure,
        tls_success="0" if failure else "1",
        tls_handshake_time="" if failure else "0.135",
        **more,
    )


def as_csv(rows: Iterable[Mapping[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def document(name: str = "telegram", **keys: Any) -> dict[str, Any]:
    """One raw measurement with the given test keys."""
    return {
        "annotations": {"network_type": "wifi", "platform": "android"},
        "data_format_version": "0.2.0",
        "input": None,
        "measurement_start_time": "2026-01-01 00:00:03",
        "probe_asn": "AS64500",
        "probe_cc": "KE",
        "probe_ip": "127.0.0.1",
        "report_id": "20260101T000000Z_telegram_KE_64500_n1_x",
        "resolver_asn": "AS64500",
        "resolver_ip": "192.0.2.53",
        "software_name": "ooniprobe-android",
        "software_version": "3.8.0",
        "test_keys": keys,
        "test_name": name,
        "test_runtime": 1.5,
        "test_start_time": "2026-01-01 00:00:00",
        "test_version": "0.3.1",
    }


def query(name: str, *addresses: str, failure: str | None = None, **more: Any) -> dict[str, Any]:
    answers = [
        {"answer_type": "AAAA", "ipv6": a} if ":" in a else {"answer_type": "A", "ipv4": a}
        for a in addresses
    ]
    shown = {"answers": answers, "engine": "system", "failure": failure, "hostname": name}
    return {**shown, "query_type": "A", "t0": 0.01, "t": 0.05, **more}


def connect(address: str, port: int, failure: str | None = None) -> dict[str, Any]:
    status = {"failure": failure, "success": failure is None}
    return {"ip": address, "port": port, "status": status, "t0": 0.1, "t": 0.2}


def handshake(name: str, address: str, failure: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "address": f"{address}:443",
        "cipher_suite": "TLS_AES_128_GCM_SHA256",
        "failure": failure,
        "negotiated_protocol": "h2",
        "no_tls_verify": False,
        "peer_certificates": [{"data": "AAEC", "format": "base64"}],
        "server_name": name,
        "t": 0.4,
        "tls_version": "TLSv1.3",
        **more,
    }


def request(
    url: str,
    failure: str | None = None,
    code: int = 200,
    body: str = "<title>Hi  there</title>",
) -> dict[str, Any]:
    response = {"code": code, "headers": {"Server": "nginx"}, "body": body}
    return {
        "failure": failure,
        "request": {"method": "GET", "url": url, "headers": {}, "tor": {"is_tor": False}},
        "response": None if failure else response,
        "t": 0.9,
    }
