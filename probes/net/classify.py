# SPDX-License-Identifier: Apache-2.0
"""Exception to Failure: total, pure, by type and errno, never by a library's text.

The only place where an error of the network becomes a failure string. Texts differ between releases
and cannot be distinguished later; type and errno can.
"""

from __future__ import annotations

import errno
import ssl

import h2.exceptions
import h11

from probes.net.network import DestinationRefusedError
from probes.wire.failure import Failure, unknown_failure

_BY_ERRNO = {
    errno.ECONNRESET: Failure.RESET,
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNABORTED: Failure.ABORTED,
    # The far side's FIN came first, then its RST for what we sent (Linux: CLOSE_WAIT).
    errno.EPIPE: Failure.EOF,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.ENONET: Failure.NETWORK_DOWN,
    errno.EACCES: Failure.PERMISSION_DENIED,
    errno.EPERM: Failure.PERMISSION_DENIED,
    errno.EADDRNOTAVAIL: Failure.ADDRESS_NOT_AVAILABLE,
}
# X509_V_ERR numbers of OpenSSL's x509_vfy.h: no path to a trusted root; another name or address.
UNKNOWN_AUTHORITY_CODES = frozenset((2, 18, 19, 20, 21, 27))
_NAME_CODES = frozenset((62, 63, 64))


def failure(error: BaseException) -> str:
    """Return the failure string of any exception that a step met."""
    match error:
        case TimeoutError():
            return Failure.TIMEOUT
        case ssl.SSLCertVerificationError():
            return certificate_failure(getattr(error, "verify_code", 1))
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | EOFError():
            return Failure.EOF
        case ssl.SSLError():
            return Failure.SSL_FAILED_HANDSHAKE
        case OSError():
            if error.errno in _BY_ERRNO:
                return _BY_ERRNO[error.errno]
            return _by_type(error)
        case h11.ProtocolError() | h2.exceptions.H2Error():
            return Failure.HTTP_REQUEST_FAILED
        case DestinationRefusedError():
            return unknown_failure("destination refused by the guard")
        case _:
            return unknown_failure(type(error).__name__)


def certificate_failure(code: int) -> str:
    """Return the failure string of a chain that OpenSSL refused with this X509_V_ERR."""
    if code in _NAME_CODES:
        return Failure.SSL_INVALID_HOSTNAME
    if code in UNKNOWN_AUTHORITY_CODES:
        return Failure.SSL_UNKNOWN_AUTHORITY
    return Failure.SSL_INVALID_CERTIFICATE


def _by_type(error: OSError) -> str:
    """An OSError made without a number, or with a rare one."""
    match error:
        case ConnectionResetError():
            return Failure.RESET
        case ConnectionRefusedError():
            return Failure.REFUSED
        case ConnectionAbortedError():
            return Failure.ABORTED
        case BrokenPipeError():
            return Failure.EOF
        case PermissionError():
            return Failure.PERMISSION_DENIED
        case _:
            return unknown_failure(errno.errorcode.get(error.errno or 0, type(error).__name__))


def kernel_errno(error: BaseException) -> int | None:
    """The kernel's error number; None for errors of OpenSSL, which count in another way."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return error.errno
    return None


# OpenSSL's reason for an alert that the far side sent (ssl/ssl_err.c, 3.5) -> its number
# (RFC 8446 section 6). Our own alerts have other reasons.
_ALERTS = {
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 10,
    "SSLV3_ALERT_BAD_RECORD_MAC": 20,
    "TLSV1_ALERT_DECRYPTION_FAILED": 21,
    "TLSV1_ALERT_RECORD_OVERFLOW": 22,
    "SSLV3_ALERT_DECOMPRESSION_FAILURE": 30,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 40,
    "SSLV3_ALERT_NO_CERTIFICATE": 41,
    "SSLV3_ALERT_BAD_CERTIFICATE": 42,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 43,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 44,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 45,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 46,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 47,
    "TLSV1_ALERT_UNKNOWN_CA": 48,
    "TLSV1_ALERT_ACCESS_DENIED": 49,
    "TLSV1_ALERT_DECODE_ERROR": 50,
    "TLSV1_ALERT_DECRYPT_ERROR": 51,
    "TLSV1_ALERT_EXPORT_RESTRICTION": 60,
    "TLSV1_ALERT_PROTOCOL_VERSION": 70,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 71,
    "TLSV1_ALERT_INTERNAL_ERROR": 80,
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": 86,
    "TLSV1_ALERT_USER_CANCELLED": 90,
    "TLSV1_ALERT_NO_RENEGOTIATION": 100,
    "TLSV13_ALERT_MISSING_EXTENSION": 109,
    "TLSV1_UNSUPPORTED_EXTENSION": 110,
    "TLSV1_CERTIFICATE_UNOBTAINABLE": 111,
    "TLSV1_UNRECOGNIZED_NAME": 112,
    "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE": 113,
    "TLSV1_BAD_CERTIFICATE_HASH_VALUE": 114,
    "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY": 115,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": 116,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 120,
}


def alert(error: BaseException) -> int | None:
    """The TLS alert that the far side sent, when that is what ended the handshake."""
    # An SSLError that OpenSSL did not make has no reason at all.
    return _ALERTS.get(getattr(error, "reason", "")) if isinstance(error, ssl.SSLError) else None
