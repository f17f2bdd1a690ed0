"""What a probe sees of each technique, and of trouble that is none: rows for the judge's tests."""

from __future__ import annotations

from typing import Any

from monitor.detection.judge.target import judge
from monitor.detection.model import Technique
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import AnyObservation
from tests.monitor.detection import app_scenes
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    BESIDE,
    CLASSICAL,
    DNS,
    FORGED,
    HTTP,
    HTTPS,
    INNOCUOUS,
    INNOCUOUS_HOST,
    NO_VERIFY,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    REPEAT,
    TCP,
    TLS,
    V6,
    alive,
    control,
    dns,
    endpoint,
    foreign,
    http,
    measured,
    quic,
    reference,
    tcp,
    tls,
)

RESET, TIMEOUT, EOF = Failure.RESET, Failure.TIMEOUT, Failure.EOF
HANDSHAKE = Failure.SSL_FAILED_HANDSHAKE
PAGE = {"status": 200, "title": "Blocked by order of the court", "excerpt": b"<p>no</p>"}


GOOD_DNS = dns(A1, A2)
OK_TCP = (tcp(A1), tcp(A2))


def both(failure: str, **other: Any) -> tuple[AnyObservation, ...]:
    return (GOOD_DNS, *OK_TCP, tls(A1, failure, **other), tls(A2, failure, **other))


def asked_twice(failure: str) -> tuple[AnyObservation, ...]:
    """From two ports."""
    return dns(failure=failure), dns(failure=failure, **REPEAT)


def plain(*seen: AnyObservation) -> tuple[AnyObservation, ...]:
    return (dns(A1, at=HTTP), tcp(A1, at=HTTP), *seen)


CONTROL_HTTP = control(*plain(http(A1)), endpoints=(HTTP,))
CONTROL_TCP = control(dns(A1, at=TCP), tcp(A1, at=TCP), endpoints=(TCP,))
CONTROL_QUIC = control(dns(A1, at=QUIC), quic(A1), endpoints=(QUIC,))
CONTROL_DNS = control(dns(A1, at=DNS), endpoints=(DNS,))
DEAD_QUIC = (
    dns(A1, at=QUIC),
    quic(A1, TIMEOUT),
    quic(A1, TIMEOUT, **REPEAT),
    tcp(A1, at=QUIC, **BESIDE),
    tls(A1, at=QUIC, **BESIDE),
)
OVER_QUIC: dict[str, Any] = {"endpoints": (QUIC,), "beside": [CONTROL_QUIC]}
FORGED_TLS = (tcp(FORGED), foreign(FORGED, 62))


def by_somebody_else(code: int) -> tuple[AnyObservation, ...]:
    """A certificate that our own host shows for the name as well."""
    at = (foreign(address, code) for address in (A1, A2))
    return (GOOD_DNS, *OK_TCP, *at, foreign(REFLECTOR, code, **OWN_HOST))


BLOCKED: dict[Technique, tuple[tuple[AnyObservation, ...], dict[str, Any]]] = {
    Technique.DNS_NXDOMAIN: ((dns(failure=Failure.DNS_NXDOMAIN),), {}),
    Technique.DNS_REFUSED: (asked_twice(Failure.DNS_REFUSED), {}),
    Technique.DNS_SERVFAIL: (asked_twice(Failure.DNS_SERVFAIL), {}),
    Technique.DNS_EMPTY: ((dns(),), {}),
    Technique.DNS_TIMEOUT: (asked_twice(TIMEOUT), {}),
    Technique.DNS_INJECTION_BOGON: ((dns("10.10.10.10"),), {}),
    Technique.DNS_INJECTION_BLOCKPAGE: (
        (
            dns(FORGED),
            reference(A1, transport="doh"),
            *FORGED_TLS,
            http(FORGED, at=HTTPS, endpoint=TLS.id, **NO_VERIFY, **PAGE),
        ),
        {},
    ),
    Technique.DNS_INJECTION_OTHER: ((dns(FORGED), reference(A1), *FORGED_TLS), {}),
    Technique.TCP_TIMEOUT: ((GOOD_DNS, tcp(A1, TIMEOUT), tcp(A2, TIMEOUT)), {}),
    Technique.TCP_RESET: (
        (GOOD_DNS, *(tcp(a, Failure.REFUSED, errno=111) for a in (A1, A2))),
        {},
    ),
    Technique.TCP_REFUSED: ((GOOD_DNS, tcp(A1, Failure.REFUSED), tcp(A2, Failure.REFUSED)), {}),
    Technique.TCP_UNREACHABLE: (
        (
            GOOD_DNS,
            *(
                tcp(a, Failure.REFUSED, errno=111, icmp_type=3, icmp_code=3, icmp_from="11.9.9.9")
                for a in (A1, A2)
            ),
        ),
        {},
    ),
    Technique.TLS_RESET_SNI: ((*both(RESET), tls(A1, **INNOCUOUS), tls(A2, **INNOCUOUS)), {}),
    Technique.TLS_TIMEOUT_SNI: ((*both(TIMEOUT), tls(REFLECTOR, TIMEOUT, **OWN_HOST)), {}),
    Technique.TLS_EOF_SNI: ((*both(EOF), *(foreign(a, **INNOCUOUS) for a in (A1, A2))), {}),
    Technique.TLS_ALERT_SNI: (
        (*both(HANDSHAKE, alert=40), *(tls(a, **INNOCUOUS) for a in (A1, A2))),
        {},
    ),
    Technique.TLS_RESET_OTHER: (
        (*both(RESET), *(tls(a, RESET, **INNOCUOUS) for a in (A1, A2))),
        {},
    ),
    Technique.TLS_TIMEOUT_OTHER: (
        (
            *both(TIMEOUT),
            *(tls(a, TIMEOUT, **INNOCUOUS) for a in (A1, A2)),
            tls(REFLECTOR, **OWN_HOST),
        ),
        {},
    ),
    Technique.TLS_EOF_OTHER: ((*both(EOF), *(tls(a, EOF, **INNOCUOUS) for a in (A1, A2))), {}),
    Technique.TLS_ALERT_OTHER: (
        (
            *both(HANDSHAKE, alert=40),
            *(tls(a, HANDSHAKE, alert=40, **INNOCUOUS) for a in (A1, A2)),
        ),
        {},
    ),
    Technique.TLS_MITM_SELF_SIGNED: (by_somebody_else(18), {}),
    Technique.TLS_MITM_CA_SIGNED: (by_somebody_else(20), {}),
    Technique.TLS_HTTP_RESPONSE: (both(HANDSHAKE, plain_http=True), {}),
    Technique.HTTP_BLOCKPAGE: (
        plain(http(**PAGE)),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
    ),
    Technique.HTTP_REDIRECT: (
        plain(http(status=302, location="http://elsewhere.net/x")),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
    ),
    Technique.HTTP_451: (
        plain(http(status=451)),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
    ),
    Technique.HTTP_RESET_HOST: (
        plain(http(A1, RESET), http(A1, **INNOCUOUS_HOST)),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
    ),
    Technique.HTTP_TIMEOUT_HOST: (
        plain(http(A1, TIMEOUT), http(A1, **INNOCUOUS_HOST)),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
    ),
    **app_scenes.BLOCKED,
    Technique.QUIC_TIMEOUT_SNI: (
        (*DEAD_QUIC, quic(A1, **INNOCUOUS), quic(REFLECTOR, TIMEOUT, **OWN_HOST)),
        OVER_QUIC,
    ),
    Technique.QUIC_TIMEOUT: (
        (*DEAD_QUIC, quic(A1, TIMEOUT, **INNOCUOUS), quic(REFLECTOR, **OWN_HOST)),
        OVER_QUIC,
    ),
}


OK: dict[str, tuple[tuple[AnyObservation, ...], dict[str, Any], set[str]]] = {
    "all fine": ((GOOD_DNS, *OK_TCP, tls(A1), tls(A2)), {}, set()),
    "fine without control or liveness": (
        (GOOD_DNS, *OK_TCP, tls(A1), tls(A2)),
        {"beside": [], "liveness": []},
        set(),
    ),
    "geographic DNS": ((dns(A3), tcp(A3), tls(A3)), {}, set()),
    "geographic DNS, TCP only": (
        (dns(A3, at=TCP), tcp(A3, at=TCP)),
        {"endpoints": (TCP,), "beside": [CONTROL_TCP]},
        {"dns_unproven"},
    ),
    "private addresses for everyone": (
        (dns("10.0.0.8", at=DNS),),
        {"endpoints": (DNS,), "beside": [control(dns("10.0.0.8", at=DNS), endpoints=(DNS,))]},
        set(),
    ),
    "a lost SYN": (
        (dns(A1), tcp(A1, TIMEOUT), tcp(A1, **REPEAT), tls(A1)),
        {"endpoints": (TLS,)},
        {"transient"},
    ),
    "a lost handshake": (
        (dns(A1), tcp(A1), tls(A1, TIMEOUT), tls(A1, **REPEAT)),
        {},
        {"transient"},
    ),
    "QUIC works": ((dns(A1, at=QUIC), quic(A1)), OVER_QUIC, set()),
    "lost QUIC": (
        (dns(A1, at=QUIC), quic(A1, TIMEOUT), quic(A1, **REPEAT)),
        OVER_QUIC,
        {"transient"},
    ),
    "QUIC at addresses of its own region": ((dns(A3, at=QUIC), quic(A3)), OVER_QUIC, set()),
    "a large hello dropped": (
        (dns(A1), tcp(A1), tls(A1, TIMEOUT), tls(A1, TIMEOUT, **REPEAT), tls(A1, **CLASSICAL)),
        {},
        {"large_hello"},
    ),
    "AAAA unanswered": (
        (GOOD_DNS, dns(qtype="AAAA", failure=TIMEOUT), *OK_TCP, tls(A1), tls(A2)),
        {},
        {"one_family_unanswered"},
    ),
    "AAAA filtered at home": (
        (GOOD_DNS, dns(qtype="AAAA"), *OK_TCP, tls(A1), tls(A2)),
        {"beside": [control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6), tls(V6))]},
        set(),
    ),
    "IPv6 broken": (
        (dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6, TIMEOUT)),
        {
            "liveness": alive(v6=False),
            "beside": [control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6), tls(V6))],
        },
        {"ipv6_broken"},
    ),
    "one dead server of its own region": (
        (dns(A1, A3), tcp(A1), tls(A1), tcp(A3, TIMEOUT)),
        {},
        set(),
    ),
    "451 for everyone": (
        plain(http(status=451)),
        {
            "endpoints": (HTTP,),
            "beside": [control(*plain(http(status=451)), endpoints=(HTTP,))],
        },
        set(),
    ),
    "403 for everyone": (
        plain(http(status=403)),
        {
            "endpoints": (HTTP,),
            "beside": [control(*plain(http(status=403)), endpoints=(HTTP,))],
        },
        set(),
    ),
    "its own redirect": (
        plain(http(status=301, location="https://www.srv.example/")),
        {"endpoints": (HTTP,), "beside": [CONTROL_HTTP]},
        set(),
    ),
    "two different honest replies": (
        (dns(A1, later=[[A2]]), tcp(A1), tls(A1)),
        {},
        set(),
    ),
    "the request went to a reference's address": (
        (
            dns(A3, at=HTTPS),
            tcp(A3, at=HTTPS),
            tls(A3, at=HTTPS),
            tcp(A1, at=HTTPS),
            tls(A1, at=HTTPS),
            http(A1, at=HTTPS),
        ),
        {"endpoints": (HTTPS,)},
        set(),
    ),
}


def verdict(*seen: AnyObservation, beside: Any = None, **other: Any) -> Any:
    liveness = other.pop("liveness", None)
    return judge(
        measured(*seen, **other),
        alive() if liveness is None else liveness,
        [control()] if beside is None else beside,
    )


def pages_at_hosts(pages: int) -> list[Measurement]:
    """So many of five liveness hosts show a page over IPv4, and all pass over IPv6: one of two
    uplinks wants a sign-in, and whichever a connection takes decides."""
    refs = [endpoint("tls", f"l{n}.example") for n in range(5)]
    seen: list[AnyObservation] = []
    page = {"failure": Failure.SSL_FAILED_HANDSHAKE, "plain_http": True}
    for n, ref in enumerate(refs):
        four, six = f"14.0.0.{n}", f"2500::{n}"
        seen += [dns(four, at=ref), dns(six, at=ref, qtype="AAAA"), tcp(four, at=ref)]
        seen += [tls(four, at=ref, **page if n < pages else {}), tcp(six, at=ref)]
        seen.append(tls(six, at=ref))
    return liveness_with(seen, at=tuple(refs))


def liveness_with(seen: Any, *, at: Any) -> list[Measurement]:
    return [measured(*seen, endpoints=at, target="liveness/international")]
