# SPDX-License-Identifier: Apache-2.0
"""What went wrong in one step, in OONI's words (ooni/spec data-formats/df-007-errors.md).

A Failure is a fact about the network, never about our code. It is classified once, at the
probe, from exception type and errno (`probes.net.classify`), because text from a library cannot
be told apart later. Strings outside this list may arrive from newer probes and must survive.
"""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """An OONI failure string. `None` in an observation means that the step succeeded."""

    DNS_NXDOMAIN = "dns_nxdomain_error"
    DNS_REFUSED = "dns_refused_error"
    DNS_SERVFAIL = "dns_servfail_error"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_MISBEHAVING = "dns_server_misbehaving"
    DNS_WRONG_ID = "dns_reply_with_wrong_query_id"
    DNS_BOGON = "dns_bogon_error"
    TIMEOUT = "generic_timeout_error"
    RESET = "connection_reset"
    REFUSED = "connection_refused"
    ABORTED = "connection_aborted"
    EOF = "eof_error"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    NETWORK_DOWN = "network_down"
    PERMISSION_DENIED = "permission_denied"
    ADDRESS_NOT_AVAILABLE = "address_not_available"
    SSL_FAILED_HANDSHAKE = "ssl_failed_handshake"
    SSL_INVALID_HOSTNAME = "ssl_invalid_hostname"
    SSL_INVALID_CERTIFICATE = "ssl_invalid_certificate"
    SSL_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    HTTP_REQUEST_FAILED = "http_request_failed"
    QUIC_INCOMPATIBLE_VERSION = "quic_incompatible_version"


def unknown_failure(detail: str) -> str:
    """Return OONI's form for an error outside the list: `unknown_failure: <detail>`."""
    return f"unknown_failure: {detail[:120]}"
