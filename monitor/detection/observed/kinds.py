# SPDX-License-Identifier: Apache-2.0
"""How one step ended, as one of the kinds that the rules distinguish: observation -> kind, total.

An unknown failure string, of a newer probe, becomes OTHER, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from probes.wire.failure import Failure
from probes.wire.observation import (
    MACHINE_LATE,
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Observation,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
)

ICMP_OWN = "icmp_own"
"""Evidence of the probe: its own machine sent the ICMP error."""
_ICMP_SENDERS = ("icmp_private", "icmp_public")
"""Evidence of the probe: the sender has a private address, or a public one."""


class Kind(StrEnum):
    """How a step ended."""

    OK = "ok"
    TIMEOUT = "timeout"
    RESET = "reset"
    REFUSED = "refused"
    """RST or ICMP port-unreachable; which of them is not known."""
    UNREACHABLE = "unreachable"
    """ICMP; in imports also a machine without a route."""
    PROHIBITED = "prohibited"
    """ICMP: prohibited by an administrator."""
    LOCAL = "local"
    """Refused by the machine itself: no address or route, a local firewall, interface down."""
    LATE = "machine_late"
    """No answer, while the machine itself was overloaded, stood still or slept: nothing is known of
    the network."""
    EOF = "eof"
    ALERT = "alert"
    SELF_SIGNED = "self_signed"
    CA_SIGNED = "ca_signed"
    OTHER_NAME = "other_name"
    """The certificate of a trusted authority, for another name."""
    DATES = "dates"
    """A certificate outside its dates."""
    PLAIN_HTTP = "plain_http"
    NXDOMAIN = "nxdomain"
    DNS_REFUSED = "dns_refused"
    SERVFAIL = "servfail"
    EMPTY = "empty"
    OTHER = "other"


_RCODES = {2: Kind.SERVFAIL, 3: Kind.NXDOMAIN, 5: Kind.DNS_REFUSED}  # RFC 1035, RFC 2136
_COMMON: dict[str, Kind] = {
    Failure.TIMEOUT: Kind.TIMEOUT,
    "timed_out": Kind.TIMEOUT,
    Failure.RESET: Kind.RESET,
    Failure.ABORTED: Kind.RESET,
    Failure.REFUSED: Kind.REFUSED,
    Failure.EOF: Kind.EOF,
    Failure.HOST_UNREACHABLE: Kind.UNREACHABLE,
    Failure.NETWORK_UNREACHABLE: Kind.UNREACHABLE,
    Failure.NETWORK_DOWN: Kind.LOCAL,
    Failure.PERMISSION_DENIED: Kind.LOCAL,
    Failure.ADDRESS_NOT_AVAILABLE: Kind.LOCAL,
}
_DNS: dict[str, Kind] = {
    Failure.DNS_NXDOMAIN: Kind.NXDOMAIN,
    Failure.DNS_REFUSED: Kind.DNS_REFUSED,
    Failure.DNS_SERVFAIL: Kind.SERVFAIL,
    Failure.DNS_NO_ANSWER: Kind.EMPTY,
}

# ICMP type 3 codes 9, 10, 13 (RFC 1812) and ICMPv6 type 1 codes 1, 5, 6 (RFC 4443):
# administratively prohibited, failed policy, reject route.
_PROHIBITED = {(3, 9), (3, 10), (3, 13), (1, 1), (1, 5), (1, 6)}

# X509_V_ERR of OpenSSL 3: not yet valid, expired; self-signed leaf; hostname, email, IP mismatch.
_DATE_CODES = (9, 10)
_SELF_SIGNED_LEAF = 18
_NAME_CODES = (62, 63, 64)
CERTIFICATE_KINDS = frozenset((Kind.SELF_SIGNED, Kind.CA_SIGNED, Kind.OTHER_NAME))
"""Someone else's certificate."""
_WITHOUT_ICMP = {Kind.REFUSED: Kind.RESET, Kind.UNREACHABLE: Kind.LOCAL}
DEATHS = (Kind.RESET, Kind.TIMEOUT, Kind.EOF, Kind.ALERT)
"""How a handshake ends without a certificate."""


def _kind(failed: Observation) -> Kind:
    """What the failure string of any step says."""
    kind = _COMMON.get(failed.failure or "", Kind.OTHER)
    return Kind.LATE if kind is Kind.TIMEOUT and MACHINE_LATE in failed.evidence else kind


def dns_kind(lookup: DNSLookup) -> Kind:
    """How a lookup ended for a stub resolver: its first reply, else the failure."""
    if lookup.replies:
        reply = lookup.replies[0]
        if reply.rcode == 0:
            return Kind.OK if reply.answers else Kind.EMPTY
        return _RCODES.get(reply.rcode, Kind.OTHER)
    if lookup.failure is None:
        return Kind.OTHER
    return _DNS.get(lookup.failure) or _kind(lookup)


def tcp_kind(attempt: TCPConnect) -> Kind:
    """How a connect ended.

    A probe that reports the errno also reads the kernel's error queue, so ECONNREFUSED without ICMP
    is an RST, and EHOSTUNREACH or ENETUNREACH is the machine's own routing table or neighbour.
    Imports have no errno: there RST and ICMP cannot be distinguished.
    """
    if attempt.failure is None:
        return Kind.OK
    kind = _kind(attempt)
    if ICMP_OWN in attempt.evidence:
        return Kind.LOCAL
    if attempt.icmp_type is not None:
        return _icmp_kind(attempt.icmp_type, attempt.icmp_code)
    if attempt.errno is not None:
        return _WITHOUT_ICMP.get(kind, kind)
    return kind


def tls_kind(attempt: TLSHandshake) -> Kind:
    """How a handshake ended."""
    if attempt.failure is None:
        return Kind.OK
    if attempt.plain_http:
        return Kind.PLAIN_HTTP
    if attempt.failure in (
        Failure.SSL_INVALID_HOSTNAME,
        Failure.SSL_INVALID_CERTIFICATE,
        Failure.SSL_UNKNOWN_AUTHORITY,
    ):
        return _certificate_kind(attempt.verify_code)
    if attempt.alert is not None:
        return Kind.ALERT
    if attempt.failure == Failure.SSL_FAILED_HANDSHAKE:
        return Kind.OTHER
    return _kind(attempt)


def quic_kind(attempt: QUICHandshake) -> Kind:
    """How a QUIC handshake ended. Any ICMP counts as unreachable: a closed port answers so."""
    if attempt.failure is None:
        return Kind.OK
    if attempt.verify_code:
        return _certificate_kind(attempt.verify_code)
    if attempt.close_code is not None:
        return Kind.ALERT
    if attempt.icmp_type is not None:
        return _icmp_kind(attempt.icmp_type, attempt.icmp_code)
    return _kind(attempt)


def app_kind(exchange: AppExchange) -> Kind:
    """How an app's first exchange ended; OK only when the server spoke the protocol."""
    if exchange.failure is None:
        return Kind.OK if exchange.spoke else Kind.OTHER
    if exchange.icmp_type is not None:
        return _icmp_kind(exchange.icmp_type, exchange.icmp_code)
    return _kind(exchange)


def icmp_evidence(attempt: TCPConnect | QUICHandshake | AppExchange) -> tuple[str, ...]:
    """What a verdict quotes of an ICMP error: type, code and sender."""
    if attempt.icmp_type is None:
        return ()
    sender = (f"icmp_from:{attempt.icmp_from}",) if attempt.icmp_from else ()
    where = (word for word in attempt.evidence if word in _ICMP_SENDERS)
    return (f"icmp:{attempt.icmp_type}/{attempt.icmp_code}", *sender, *where)


def _icmp_kind(icmp_type: int, icmp_code: int | None) -> Kind:
    prohibited = (icmp_type, icmp_code) in _PROHIBITED
    return Kind.PROHIBITED if prohibited else Kind.UNREACHABLE


def _certificate_kind(verify_code: int | None) -> Kind:
    if verify_code in _DATE_CODES:
        return Kind.DATES
    if verify_code in _NAME_CODES:  # OpenSSL looks at the name once it has found the authority
        return Kind.OTHER_NAME
    return Kind.SELF_SIGNED if verify_code == _SELF_SIGNED_LEAF else Kind.CA_SIGNED


def http_kind(exchange: HTTPExchange) -> Kind:
    """How a request ended; OK for any answer, whatever its status."""
    if exchange.failure is None:
        return Kind.OK if exchange.status is not None else Kind.OTHER
    return _kind(exchange)


def transfer_kind(transfer: Transfer) -> Kind:
    """How a transfer ended; OK for one that was not cut short by a failure."""
    return Kind.OK if transfer.failure is None else _COMMON.get(transfer.failure, Kind.OTHER)


def reached(kind: Kind) -> bool:
    """Whether the server of a handshake showed a certificate: nothing on the path prevented it."""
    return kind in (Kind.OK, Kind.DATES, *CERTIFICATE_KINDS)


MANY = ((3, 6), (5, 12))
"""Of so many connections (the second), so many (the first) fail alike where a share of them is
blocked: the probe makes up to six, and up to twelve where three of those failed. Fewer may be
packet loss."""
MIN_INNOCUOUS = 2


def partial_loss(kind: Kind, attempts: Iterable[Kind]) -> bool:
    """Whether many of the connections ended in this way, and at least one passed: a share of the
    connections is blocked. A smaller share cannot be told from packet loss."""
    kinds = list(attempts)
    failed = sum(end is kind for end in kinds)
    return Kind.OK in kinds and any(
        failed >= many and failed * tries >= many * len(kinds) for many, tries in MANY
    )


def innocuous_passes(kind: Kind, attempts: Sequence[Kind]) -> bool:
    """Whether an innocuous name passed every time, or was refused by the server in another way."""
    return len(attempts) >= MIN_INNOCUOUS and all(
        reached(end) or (end is Kind.ALERT and end is not kind) for end in attempts
    )
