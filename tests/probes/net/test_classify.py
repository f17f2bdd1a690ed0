"""Every error has its word, and any exception has one."""

from __future__ import annotations

import errno
import ssl

import h2.exceptions
import h11
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.net.classify import alert, failure, kernel_errno
from probes.net.network import ConnectError, DestinationRefusedError
from probes.wire.bounds import Text


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "text that must not matter")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TimeoutError(), "generic_timeout_error"),
        (OSError(errno.ETIMEDOUT, ""), "generic_timeout_error"),
        (ConnectError(errno.ETIMEDOUT, ""), "generic_timeout_error"),
        (ConnectError(errno.ECONNRESET, ""), "connection_reset"),
        (ConnectionResetError(errno.ECONNRESET, ""), "connection_reset"),
        (ConnectionResetError(), "connection_reset"),
        (ConnectError(errno.ECONNREFUSED, ""), "connection_refused"),
        (ConnectionRefusedError(), "connection_refused"),
        (ConnectionAbortedError(), "connection_aborted"),
        (BrokenPipeError(), "eof_error"),
        (OSError(errno.EPIPE, ""), "eof_error"),
        (ConnectError(errno.EHOSTUNREACH, ""), "host_unreachable"),
        (ConnectError(errno.ENETUNREACH, ""), "network_unreachable"),
        (ConnectError(errno.ENETDOWN, ""), "network_down"),
        (ConnectError(errno.EACCES, ""), "permission_denied"),
        (PermissionError(), "permission_denied"),
        (ConnectError(errno.EADDRNOTAVAIL, ""), "address_not_available"),
        (OSError(errno.EMFILE, "text"), "unknown_failure: EMFILE"),
        (OSError("text"), "unknown_failure: OSError"),
        (ssl.SSLEOFError(8, ""), "eof_error"),
        (ssl.SSLZeroReturnError(6, ""), "eof_error"),
        (EOFError(), "eof_error"),
        (ssl.SSLError(1, ""), "ssl_failed_handshake"),
        (certificate_error(62), "ssl_invalid_hostname"),
        (certificate_error(64), "ssl_invalid_hostname"),
        (certificate_error(18), "ssl_unknown_authority"),
        (certificate_error(20), "ssl_unknown_authority"),
        (certificate_error(10), "ssl_invalid_certificate"),
        (h11.RemoteProtocolError("x"), "http_request_failed"),
        (h2.exceptions.ProtocolError("x"), "http_request_failed"),
        (
            DestinationRefusedError("10.0.0.1: x"),
            "unknown_failure: destination refused by the guard",
        ),
        (KeyError("secret"), "unknown_failure: KeyError"),
    ],
)
def test_word_of(error: BaseException, word: str):
    assert failure(error) == word


def _exceptions() -> list[type[BaseException]]:
    found, queue = [], [BaseException]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue += kind.__subclasses__()
    return found


@given(st.sampled_from(_exceptions()), st.integers(-5, 200), st.text(max_size=200))
def test_total(kind: type[BaseException], number: int, text: str):
    try:
        error = kind(number, text)
    except Exception:
        return
    msgspec.convert(failure(error), Text)
    alert(error)
    kernel_errno(error)


def test_errno_is_the_kernels_only():
    assert kernel_errno(ConnectError(errno.ECONNRESET, "")) == errno.ECONNRESET
    assert kernel_errno(ssl.SSLError(1, "")) is None
    assert kernel_errno(TimeoutError()) is None


def test_alert_is_the_far_sides_only():
    error = ssl.SSLError(1, "")
    error.reason = "TLSV1_UNRECOGNIZED_NAME"
    assert alert(error) == 112
    error.reason = "WRONG_VERSION_NUMBER"
    assert alert(error) is None
    assert alert(OSError()) is None
