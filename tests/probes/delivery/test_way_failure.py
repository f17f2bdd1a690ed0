from __future__ import annotations

import socket
import ssl

import pytest

from probes.delivery.way_failure import NotStoredError, NotTheMonitorError, way_failure
from probes.runtime.broker_url import BrokerError, BrokerRefusedError
from probes.runtime.proxy import ProxyError
from probes.runtime.stall import StalledError


def behind(error: BaseException) -> BrokerError:
    """The error as a connection raises it: in words, with the cause behind it."""
    try:
        try:
            raise error
        except type(error):
            raise BrokerError("in words") from None
    except BrokerError as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ConnectionRefusedError(111, "refused"), "connection_refused"),
        (ConnectionResetError(104, "reset"), "connection_reset"),
        (TimeoutError("silent"), "generic_timeout_error"),
        (StalledError("frozen"), "no_progress"),
        (socket.gaierror(-2, "no such name"), "dns_lookup_failed"),
        (ssl.SSLCertVerificationError(1, "bad"), "ssl_invalid_certificate"),
        (ProxyError("refused"), "proxy_failed"),
        (EOFError(), "eof_error"),
        (OSError(99999, "odd"), "unknown_failure:-OSError"),
    ],
)
def test_the_cause_is_named_wherever_it_stands(error: BaseException, word: str) -> None:
    assert way_failure(error) == word
    assert way_failure(behind(error)) == word


def test_what_the_other_side_says_is_named_too() -> None:
    assert way_failure(BrokerRefusedError("no")) == "credentials_refused"
    assert way_failure(NotTheMonitorError("HTTP status 200")) == "not_the_monitor"
    assert way_failure(NotStoredError("later")) == "not_acknowledged"
    assert way_failure(BrokerError("gone")) == "connection_lost"
