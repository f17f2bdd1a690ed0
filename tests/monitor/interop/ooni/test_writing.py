"""Our measurements in OONI's JSON: its keys as its readers expect them, and the way back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.model import Stored
from monitor.interop.ooni import keys
from monitor.interop.ooni.extension import KEY
from monitor.interop.ooni.run import measurements
from monitor.interop.ooni.writing import document, line, report_id
from probes.wire.measurement import EndpointRef, Measurement, Role, Vantage
from probes.wire.observation import (
    AnyObservation,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from tests.monitor.interop.samples import targets_by_name
from tests.probes.wire import test_codec as wire

WEB = "web.telegram.org:443/https"
SEEN: tuple[AnyObservation, ...] = (
    DNSLookup(
        endpoint=WEB,
        name="web.telegram.org",
        qtype="A",
        resolver="system",
        replies=(DNSReply(after_us=900, rcode=0, answers=("149.154.167.99",), ttl=60),),
        at_us=1,
        took_us=900,
    ),
    TCPConnect(endpoint=WEB, address="149.154.167.99", port=443, at_us=2000, took_us=50, errno=110),
    TLSHandshake(
        endpoint=WEB,
        address="149.154.167.99",
        port=443,
        sni="web.telegram.org",
        failure="connection_reset",
        received_bytes=0,
    ),
    HTTPExchange(
        endpoint=WEB,
        address="149.154.167.99",
        port=443,
        host="web.telegram.org",
        tls=True,
        status=302,
        location="https://elsewhere.example/",
    ),
    QUICHandshake(endpoint=WEB, address="149.154.167.99", port=443, sni="web.telegram.org"),
)


def stored(*seen: AnyObservation, started: int = 1_800_000_000_123) -> Stored:
    measured = Measurement(
        v=1,
        id="ab" * 16,
        probe="p-" + "c" * 16,
        target="telegram/web",
        round=1_800_000_000_000,
        started=started,
        took_us=1_500_000,
        vantage=Vantage(country="KE", asn=64500, resolver_asn=64501),
        endpoints=(EndpointRef(id=WEB, protocol="https", host="web.telegram.org"),),
        observations=seen,
    )
    return Stored(measurement=measured, owner="o", role=Role.VANTAGE, enrolled=0)


def back(one: Stored, **changed: Any) -> Measurement:
    read = msgspec.json.decode(line(one))
    (made,) = measurements(keys.run_of(read | changed, targets_by_name()), targets_by_name())
    return made


def test_the_keys_of_oonis_formats() -> None:
    told = msgspec.json.decode(line(stored(*SEEN)))
    assert told["data_format_version"] == "0.2.0"
    assert (told["probe_asn"], told["probe_cc"], told["probe_ip"]) == ("AS64500", "KE", "127.0.0.1")
    assert told["measurement_start_time"] == "2027-01-15 08:00:00"
    assert set(told["extensions"].values()) == {0}
    assert len(told["extensions"]) == 6
    found = told["test_keys"]
    (query,) = found["queries"]
    assert query["answers"] == [{"answer_type": "A", "ipv4": "149.154.167.99", "ttl": 60}]
    assert (query["engine"], query["rcode"], query["failure"]) == ("system", 0, None)
    (connect,) = found["tcp_connect"]
    assert connect["status"] == {"failure": None, "success": True}
    assert (connect["ip"], connect["port"], connect["t0"]) == ("149.154.167.99", 443, 0.002)
    tcp, udp = found["tls_handshakes"]
    assert (tcp["network"], tcp["address"], tcp["failure"]) == (
        "tcp",
        "149.154.167.99:443",
        "connection_reset",
    )
    assert udp["network"] == "udp"
    (request,) = found["requests"]
    assert request["request"]["url"] == "https://web.telegram.org/"
    assert request["response"]["code"] == 302
    assert request["response"]["headers_list"] == [["Location", "https://elsewhere.example/"]]


def test_nothing_of_the_probe_is_in_an_export() -> None:
    one = stored(*SEEN)
    assert one.measurement.probe.encode() not in line(one)
    assert one.measurement.probe not in report_id(one)


@given(st.lists(wire.observations, max_size=5), wire.counts)
def test_import_of_an_export_gives_the_same_observations(
    seen: list[AnyObservation], started: int
) -> None:
    one = stored(*seen, started=1_400_000_000_000 + started % 10**12)
    if not seen:
        return
    again = back(one)
    was = one.measurement
    assert again.observations == was.observations
    assert (again.target, again.endpoints, again.combine) == (was.target, was.endpoints, "any_of")
    assert (again.started, again.took_us) == (was.started, was.took_us)
    assert (again.vantage.country, again.vantage.asn) == ("KE", 64500)


def test_without_our_own_keys_oonis_say_as_much_as_they_can() -> None:
    told = document(stored(*SEEN[:4]))
    for name in ("queries", "tcp_connect", "tls_handshakes", "requests"):
        for entry in told["test_keys"][name]:
            del entry[KEY]
    read = msgspec.json.decode(msgspec.json.encode(told))
    (made,) = measurements(keys.run_of(read, targets_by_name()), targets_by_name())
    assert made.target == "telegram/web"
    kinds = [(type(each), getattr(each, "failure", None)) for each in made.observations[:4]]
    assert kinds == [(type(each), getattr(each, "failure", None)) for each in SEEN[:4]]


@pytest.mark.parametrize("failure", ["eof_error", None])
def test_where_somebody_changed_oonis_keys_those_count(failure: str | None) -> None:
    told = msgspec.json.decode(line(stored(*SEEN[:3])))
    told["test_keys"]["tls_handshakes"][0]["failure"] = failure
    (made,) = measurements(keys.run_of(told, targets_by_name()), targets_by_name())
    shaken = next(each for each in made.observations if isinstance(each, TLSHandshake))
    assert shaken.failure == failure
