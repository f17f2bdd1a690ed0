# SPDX-License-Identifier: Apache-2.0
"""Made-up runs of OONI's four messenger tests, in the shape and size that real ones have (30 to
60 kB), without a byte of anybody's: what is tried, with what answers, all of it written here."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

TESTS = ("facebook_messenger", "signal", "telegram", "whatsapp")
VERSIONS = {"facebook_messenger": "0.2.1", "signal": "0.2.5", "telegram": "0.3.1"}
VERSIONS |= {"whatsapp": "0.11.0"}
_DC = ("149.154.175.50", "149.154.167.51", "149.154.175.100", "149.154.167.91", "149.154.171.5")
_DC += ("95.161.76.100",)
_SIGNAL = ("cdsi.signal.org", "chat.signal.org", "storage.signal.org", "sfu.voip.signal.org")
_FACEBOOK = ("b-api.facebook.com", "b-graph.facebook.com", "edge-mqtt.facebook.com")
_FACEBOOK += ("external.xx.fbcdn.net", "scontent.xx.fbcdn.net", "star.c10r.facebook.com")
_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome"
TIMEOUT, RESET = "generic_timeout_error", "connection_reset"


def _address(name: str) -> str:
    """An address for a name, the same every time. Those of documentation read as forged answers."""
    return f"203.0.114.{sum(name.encode()) % 250 + 1}"


def _query(name: str) -> dict[str, Any]:
    answer = {"asn": 64500, "as_org_name": "Documentation", "answer_type": "A", "ttl": None}
    answers = [{**answer, "ipv4": _address(name)}, {**answer, "ipv4": "203.0.114.254"}]
    return {
        "answers": answers, "engine": "system", "failure": None, "hostname": name,
        "query_type": "A", "resolver_address": "", "t0": 0.01, "t": 0.05, "transaction_id": 1,
    }  # fmt: skip


def _connect(address: str, port: int, failure: str | None) -> dict[str, Any]:
    status = {"failure": failure, "success": failure is None}
    return {"ip": address, "port": port, "status": status, "t0": 0.1, "t": 0.2}


def _handshake(name: str, failure: str | None) -> dict[str, Any]:
    der = random.Random(name).randbytes(1300)
    certificate = {"data": base64.b64encode(der).decode(), "format": "base64"}
    return {
        "network": "tcp", "address": f"{_address(name)}:443", "server_name": name,
        "cipher_suite": "TLS_AES_128_GCM_SHA256", "failure": failure, "negotiated_protocol": "h2",
        "no_tls_verify": False, "peer_certificates": [] if failure else [certificate] * 2,
        "t0": 0.2, "t": 0.4, "tls_version": "TLSv1.3",
    }  # fmt: skip


def _request(url: str, failure: str | None) -> dict[str, Any]:
    headers = {"Accept": "*/*", "Accept-Language": "en-US;q=0.8,en;q=0.5", "User-Agent": _AGENT}
    pairs = [[name, value] for name, value in headers.items()]
    request = {"method": "GET", "url": url, "headers": headers, "headers_list": pairs, "body": ""}
    answer = {
        "code": 200,
        "headers": headers,
        "headers_list": pairs,
        "body": "<html><p>page</p></html>" * 7,
    }
    return {
        "failure": failure, "request": {**request, "tor": {"is_tor": False}},
        "response": None if failure else answer, "t0": 0.5, "t": 0.9,
    }  # fmt: skip


def _keys(test: str, failure: str | None) -> dict[str, Any]:
    """What a run finds where everything works, or where its connections fail."""
    if test == "telegram":
        dialled = [(address, port) for address in _DC for port in (80, 443)]
        names, sites = ["web.telegram.org"], ["https://web.telegram.org/"]
        sites += [f"http://{address}:{port}/" for address, port in dialled]
    elif test == "whatsapp":
        names = [*(f"e{number}.whatsapp.net" for number in range(1, 17)), "v.whatsapp.net"]
        names.append("web.whatsapp.com")
        dialled = [(_address(name), port) for name in names[:16] for port in (443, 5222)]
        sites = ["https://v.whatsapp.net/v2/register", "https://web.whatsapp.com/"]
    elif test == "signal":
        names, dialled = list(_SIGNAL), [(_address(name), 443) for name in _SIGNAL]
        sites = [f"https://{name}/" for name in names]
    else:
        names, dialled = [*_FACEBOOK, "stun.fbsbx.com"], [(_address(n), 443) for n in _FACEBOOK]
        sites = []
    secure = [site.split("/")[2] for site in sites if site.startswith("https:")]
    event = {"failure": None, "operation": "read", "num_bytes": 517, "proto": "tcp", "t": 0.25}
    return {
        "queries": [_query(name) for name in names],
        "tcp_connect": [_connect(*where, failure) for where in dialled],
        "tls_handshakes": [_handshake(name, failure) for name in secure],
        "requests": [_request(site, failure) for site in sites],
        "network_events": [{**event, "address": "198.51.100.1:443", "t0": 0.2}] * 150,
    }


@cache
def _template(test: str, failure: str | None) -> bytes:
    document = {
        "annotations": {"network_type": "@NETWORK@", "platform": "android"},
        "data_format_version": "0.2.0",
        "input": None,
        "measurement_start_time": "@TIME@",
        "probe_asn": "AS@ASN@",
        "probe_cc": "@CC@",
        "probe_ip": "127.0.0.1",
        "report_id": "@REPORT@",
        "resolver_asn": "AS@ASN@",
        "resolver_ip": "192.0.2.53",
        "software_name": "ooniprobe-android-unattended",
        "software_version": "3.8.0",
        "test_keys": _keys(test, failure),
        "test_name": test,
        "test_runtime": 1.5,
        "test_version": VERSIONS[test],
    }
    return json.dumps(document, separators=(",", ":")).encode()


class Run(NamedTuple):
    """One run; `line` is its JSON."""

    report: str
    test: str
    country: str
    asn: int
    at: int
    """Unix seconds."""
    failure: str | None

    @property
    def line(self) -> bytes:
        """One line of a file."""
        time = dt.datetime.fromtimestamp(self.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        line = _template(self.test, self.failure)
        for mark, value in (
            (b"@NETWORK@", b"wifi"),
            (b"@TIME@", time.encode()),
            (b"@ASN@", str(self.asn).encode()),
            (b"@CC@", self.country.encode()),
            (b"@REPORT@", self.report.encode()),
        ):
            line = line.replace(mark, value)
        return line + b"\n"


class Block(NamedTuple):
    """A network in which a test's connections fail from one time to another."""

    test: str
    asn: int
    begin: int
    end: int

    def hits(self, test: str, asn: int, at: int) -> bool:
        """Whether it is what a run meets."""
        return (self.test, self.asn) == (test, asn) and self.begin <= at < self.end


def runs(
    countries: int, hours: range, each: float, blocks: tuple[Block, ...] = (), seed: int = 1
) -> Iterator[Run]:
    """Runs of all tests in some countries with a few networks each, `each` a test, country and hour
    on average; hours are Unix hours."""
    chance = random.Random(seed)
    names = [f"{a}{b}" for a in "KTUZRIESBC" for b in "EZGMUNTPOLARHSYKD"][:countries]
    for hour in hours:
        for place, country in enumerate(names):
            for test in TESTS:
                number = int(each) + (chance.random() < each % 1)
                for turn in range(number):
                    asn = 64_512 + 8 * place + chance.choice((0, 0, 0, 1, 1, 2, 3))
                    at = hour * 3600 + chance.randrange(3600)
                    failure = TIMEOUT if chance.random() < 0.01 else None
                    if any(
                        b.test == test and b.asn == asn and b.begin <= at < b.end for b in blocks
                    ):
                        failure = RESET
                    report = f"{hour}T_{test}_{country}_{asn}_n1_{turn}"
                    yield Run(report, test, country, asn, at, failure)
