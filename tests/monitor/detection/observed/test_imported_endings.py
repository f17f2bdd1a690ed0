"""One endpoint of an imported run: how far it went, in OONI's words of today and of long ago."""

from __future__ import annotations

import pytest

from monitor.detection.fingerprints import Fingerprints
from monitor.detection.layers.imported_run import BOGON, NO_WORD, PAGE
from monitor.detection.model import Layer
from monitor.detection.observed.imported_endings import (
    Ending,
    EndpointObservations,
    RunContext,
    ending,
)
from monitor.detection.observed.kinds import Kind
from probes.wire.observation import HTTPExchange, Known
from tests.monitor.detection.imported_runs import dial, fetch, handshake, lookup, spoken

GOOD = "203.0.114.99"


def end(*found: Known, context: RunContext = RunContext()) -> Ending | None:  # noqa: B008 - frozen
    seen = EndpointObservations()
    for each in found:
        seen.name.add(each)
        seen.add(each)
    return ending(seen, context)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("generic_timeout_error", Kind.TIMEOUT),
        ("timed_out", Kind.TIMEOUT),
        ("connection_refused", Kind.REFUSED),
        ("connection_refused_error", Kind.REFUSED),
        ("host_unreachable", Kind.UNREACHABLE),
        ("connection_reset", Kind.RESET),
        ("unknown_failure: strange", Kind.OTHER),
    ],
)
def test_connects(failure: str, kind: Kind) -> None:
    assert end(dial(GOOD, failure)) == Ending(Layer.TCP, kind)


@pytest.mark.parametrize(
    "failure",
    [
        "network_unreachable",
        "interrupted",
        "unknown_failure: dial tcp [scrubbed]: connect: cannot allocate memory",
        "unknown_failure: operation was canceled",
    ],
)
def test_the_devices_own_troubles_say_nothing(failure: str) -> None:
    assert end(dial(GOOD, failure)) is None
    assert end(fetch(failure)) is None
    assert end(lookup(failure=failure)) is None
    assert end(dial(GOOD, failure), dial(GOOD, "eof_error")) == Ending(Layer.TCP, Kind.EOF)


def test_one_address_that_works_is_enough() -> None:
    works = end(lookup(GOOD), dial("203.0.114.98", "eof_error"), dial(GOOD), handshake(GOOD))
    assert works == Ending(None, "", (Layer.DNS, Layer.TCP, Layer.TLS))


@pytest.mark.parametrize("failure", ["http_unexpected_status_code", "json_parse_error"])
def test_what_ooni_expected_of_an_answer_is_not_asked(failure: str) -> None:
    assert end(fetch(failure)) == Ending(None, "", (Layer.HTTP,))


def test_a_certificate_that_an_old_probe_refused() -> None:
    old = "[('SSL routines', 'ssl3_get_server_certificate', 'certificate verify failed')]"
    assert end(fetch(old)) == end(fetch("ssl_unknown_authority"))
    assert end(dial(GOOD), handshake(GOOD, old)) == Ending(Layer.TLS, Kind.CA_SIGNED, (Layer.TCP,))


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("dns_nxdomain_error", Kind.NXDOMAIN),
        ("android_dns_cache_no_data", NO_WORD),
        ("dns_bogon_error", BOGON),
        ("dns_temporary_failure", Kind.SERVFAIL),
    ],
)
def test_a_request_that_never_got_an_address_tells_of_the_resolver(failure: str, kind: str) -> None:
    if failure.startswith("dns_"):
        assert end(fetch(failure)) == Ending(Layer.DNS, kind)
    assert end(lookup(failure=failure)) == Ending(Layer.DNS, kind)


def test_known_addresses_and_pages_of_blocks() -> None:
    class Known(Fingerprints):
        def answer(self, text: str, country: str = "") -> str | None:
            return "sign" if (text, country) == (GOOD, "KE") else None

        def page(self, exchange: HTTPExchange, country: str = "") -> str | None:
            return "sign" if exchange.title == "blocked" else None

    here = RunContext(country="KE", fingerprints=Known())
    assert end(lookup(GOOD), dial(GOOD), context=here) == Ending(Layer.DNS, PAGE)
    proven = end(lookup(GOOD), dial(GOOD), handshake(GOOD), context=here)
    assert proven is not None
    assert proven.layer is None
    elsewhere = RunContext(country="TZ", fingerprints=Known())
    assert end(lookup(GOOD), dial(GOOD), context=elsewhere) == Ending(
        None, "", (Layer.DNS, Layer.TCP)
    )
    page = HTTPExchange(endpoint="e", address=GOOD, port=80, host="h", status=200, title="blocked")
    assert end(page, context=here) == Ending(Layer.HTTP, PAGE)


def test_exchanges_with_addresses_are_the_apps() -> None:
    assert end(spoken(GOOD, "eof_error")) == Ending(Layer.APP, Kind.EOF)
    assert end(spoken(GOOD)) == Ending(None, "", (Layer.APP,))


def test_certificates_of_an_authority_of_its_own() -> None:
    own = RunContext(own_authority=True)
    bad = handshake(GOOD, "ssl_unknown_authority")
    assert end(dial(GOOD), bad) == Ending(Layer.TLS, Kind.CA_SIGNED, (Layer.TCP,))
    assert end(dial(GOOD), bad, context=own) is None
    assert end(fetch("ssl_unknown_authority"), context=own) is None
