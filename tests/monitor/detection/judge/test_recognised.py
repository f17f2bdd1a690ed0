"""What no rule reads of a measurement is not decoded, and it comes back as a measurement."""

from __future__ import annotations

import pytest
from msgspec.structs import fields, replace

from monitor.detection.judge.imported_run import method
from monitor.detection.judge.recognised import (
    UNREAD,
    Recognised,
    digest,
    look,
    look_of_run,
    measurement_of,
    recognise,
    recognise_run,
    recognised_in,
)
from probes.wire.codec import WireError, encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Vantage
from tests.monitor.detection.imported_runs import ADDRESSES, dc, measurement, of_test, record
from tests.monitor.detection.scenes import (
    A1,
    A2,
    HTTPS,
    INNOCUOUS,
    TLS,
    dns,
    measured,
    quic,
    tcp,
    tls,
    transfer,
)

PLAIN = (dns(A1), tcp(A1), replace(tls(A1), took_us=7))


def test_what_is_compared_or_silent_and_quic_that_failed_is_read_in_full() -> None:
    plain = recognise(encode(measured(*PLAIN)))
    assert plain is not None
    assert [seen.took_us for seen in plain.observations] == [0, 0, 0]
    for one in (
        tls(A1, **INNOCUOUS),
        transfer(A1, at=HTTPS),
        quic(A1, Failure.RESET),
        tcp(A2, Failure.TIMEOUT),
        dns(qtype="AAAA", failure=Failure.TIMEOUT),
    ):
        assert recognise(encode(measured(*PLAIN, one))) is None
    for broken in (b"", b"{}", b"\xff", b"[" * 5000):
        assert recognise(broken) is None


def test_what_is_recognised_is_a_measurement_again() -> None:
    subject = measured(*PLAIN)
    again = measurement_of(recognise(encode(subject)))
    assert (again.id, again.target, again.endpoints) == (
        subject.id,
        subject.target,
        subject.endpoints,
    )
    assert recognise(encode(again)) == recognise(encode(subject))


def test_it_has_every_field_that_a_rule_may_read() -> None:
    read = {field.name: field.default for field in fields(Measurement) if field.name not in UNREAD}
    assert {field.name: field.default for field in fields(Recognised)} == read


def test_what_was_read_in_full_is_recognised_as_its_line_is() -> None:
    subject = measured(*PLAIN)
    assert recognised_in(subject) == recognise(encode(subject))
    assert recognised_in(measured(*PLAIN, tls(A1, **INNOCUOUS))) is None


def test_text_that_no_measurement_has_is_recognised_and_is_none() -> None:
    recognised = recognise(encode(measured(*PLAIN)).replace(b'"qtype":"A"', b'"qtype":"a b"'))
    assert recognised is not None
    with pytest.raises(WireError, match="qtype"):
        measurement_of(recognised)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ({"id": "e" * 32, "round": 0, "started": 5, "sequence": 9}, True),
        ({"vantage": Vantage(country="RU", asn=1)}, True),
        ({"clock_offset_ms": 3_600_000}, True),
        ({"clock_offset_ms": -3_600_001}, False),
        ({"vantage": Vantage(country="FR")}, False),
        ({"vantage": Vantage(country="RU", resolver_class="private")}, False),
        ({"combine": "all_of"}, False),
        ({"endpoints": (TLS, HTTPS)}, False),
        ({"observations": (dns(A2), *PLAIN[1:])}, False),
        ({"target": "srv/other"}, False),
    ],
)
def test_a_look_differs_in_what_a_rule_reads(other: dict[str, object], is_same: bool) -> None:
    here = replace(measured(*PLAIN), vantage=Vantage(country="RU"))
    looks = {look(r) for m in (here, replace(here, **other)) if (r := recognised_in(m))}
    assert len(looks) == (1 if is_same else 2)


def test_a_digest_tells_apart_what_differs() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(frozenset("abcdef")) == digest(frozenset("fedcba"))


HELPER = {"name": "web.example.net", "tls": {"203.0.114.99:443": True}}


def run(told: dict[str, object], passed: int = 9, failed: int = 0, **more: object) -> Measurement:
    seen = [*dc(failed), record(passed, **of_test(), **told)]
    return replace(measurement(seen), **more)


def test_an_imported_run_is_recognised_with_the_record_of_the_whole_run() -> None:
    recognised = recognise_run(encode(run({"test_keys": {"anything": [1, 2]}})))
    assert recognised is not None
    assert method(recognised.observations) == "telegram 0.3.1"
    assert recognise(encode(run({}))) is None
    for broken in (b"", b"{}", encode(run({"own_authority": "no"}))):
        assert recognise_run(broken) is None


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (run({"test_keys": {"anything": 1}}, 5), True),
        (run({"network_type": "mobile"}), True),
        (run({"network_type": "vpn"}), False),
        (run({"own_authority": True}), False),
        (run({"helper": HELPER}), False),
        (run({}, 0), False),
        (run({}, 9, 1), False),
        (run({}, target="telegram/web"), False),
        (run({}, vantage=Vantage(country="TZ", asn=64500)), False),
        (run({}, vantage=Vantage(country="KE", asn=64999)), True),
        (run({}, vantage=Vantage(country="KE", asn=13335)), False),
        (run({}, id="e" * 32, round=0, started=5), True),
    ],
)
def test_a_look_of_a_run_differs_in_what_its_judge_reads(other: Measurement, is_same: bool) -> None:
    looks = set()
    for one in (run({}), other):
        recognised = recognise_run(encode(one))
        assert recognised is not None
        looks.add(look_of_run(recognised))
    assert len(looks) == (1 if is_same else 2)
    assert len(ADDRESSES) == len(recognised.observations) - 1
