"""Small measurements written by hand: what a probe would have sent, one call each.

The service is `srv.example` at 11.0.0.x and 2400::x; its target has one endpoint unless a scene
says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement, Role, Vantage, function_of
from probes.wire.observation import (
    AnyObservation,
    Certificate,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
)

HOST = "srv.example"
A1, A2, A3 = "11.0.0.1", "11.0.0.2", "11.0.0.3"
V6 = "2400::1"
FORGED = "12.9.9.9"
REFLECTOR = "13.0.0.1"
ROUND = 1_800_000_000_000
PROBE, CONTROL_PROBE = "p-" + "1" * 16, "p-" + "2" * 16
_RCODES = {
    Failure.DNS_SERVFAIL: 2,
    Failure.DNS_NXDOMAIN: 3,
    Failure.DNS_MISBEHAVING: 4,
    Failure.DNS_REFUSED: 5,
}
_ids = iter(range(1, 10**9))


def endpoint(protocol: str = "tls", host: str = HOST, port: int = 443) -> EndpointRef:
    literal = host.replace(".", "").isdigit()
    return EndpointRef(
        id=f"{host}:{port}/{protocol}", protocol=protocol, host="" if literal else host
    )


TLS, HTTPS, HTTP, TCP, DNS = (
    endpoint("tls"),
    endpoint("https"),
    endpoint("http", port=80),
    endpoint("tcp"),
    endpoint("dns"),
)
QUIC = endpoint("quic")


def dns(
    *answers: str,
    at: EndpointRef = TLS,
    qtype: str = "A",
    failure: str | None = None,
    later: Sequence[Sequence[str]] = (),
    **other: Any,
) -> DNSLookup:
    """The system resolver's answer; `later` are further replies."""
    rcode = _RCODES.get(failure, 0) if failure else 0  # type: ignore[call-overload]
    silent = failure == Failure.TIMEOUT
    if not answers and failure is None:
        failure = Failure.DNS_NO_ANSWER
    first = [] if silent else [DNSReply(after_us=9, rcode=rcode, answers=tuple(sorted(answers)))]
    rest = [DNSReply(after_us=99, rcode=0, answers=tuple(sorted(more))) for more in later]
    values: dict[str, Any] = {
        "endpoint": at.id,
        "name": at.host or HOST,
        "qtype": qtype,
        "resolver": "system",
        "failure": failure,
        "replies": tuple(first + rest),
    }
    return DNSLookup(**values | other)


def reference(*answers: str, transport: str = "udp", **other: Any) -> DNSLookup:
    values = {"purpose": Purpose.REFERENCE, "resolver": "ref", "transport": transport}
    return dns(*answers, **values | other)


def tcp(
    address: str = A1, failure: str | None = None, *, at: EndpointRef = TLS, **other: Any
) -> TCPConnect:
    port = int(at.id.rpartition("/")[0].rpartition(":")[2])
    return TCPConnect(endpoint=at.id, address=address, port=port, failure=failure, **other)


def tls(
    address: str = A1, failure: str | None = None, *, at: EndpointRef = TLS, **other: Any
) -> TLSHandshake:
    values: dict[str, Any] = {
        "endpoint": at.id,
        "address": address,
        "port": 443,
        "sni": at.host,
        "failure": failure,
        "verify_code": None if failure else 0,
        "hello_bytes": 1500,
    }
    return TLSHandshake(**values | other)


def foreign(address: str = A1, code: int = 20, **other: Any) -> TLSHandshake:
    """Someone else's certificate."""
    failure = Failure.SSL_INVALID_HOSTNAME if code == 62 else Failure.SSL_UNKNOWN_AUTHORITY
    if code in (9, 10):
        failure = Failure.SSL_INVALID_CERTIFICATE
    values: dict[str, Any] = {"verify_code": code, "chain": (Certificate(sha256="f" * 64),)}
    return tls(address, failure, **values | other)


def quic(
    address: str = A1, failure: str | None = None, *, at: EndpointRef = QUIC, **other: Any
) -> QUICHandshake:
    values: dict[str, Any] = {
        "endpoint": at.id,
        "address": address,
        "port": 443,
        "sni": at.host,
        "failure": failure,
        "sent_bytes": 2400,
        "received_bytes": 0 if failure else 3000,
        "verify_code": None if failure else 0,
    }
    return QUICHandshake(**values | other)


def http(
    address: str = A1, failure: str | None = None, *, at: EndpointRef = HTTP, **other: Any
) -> HTTPExchange:
    over_tls = at.protocol == "https"
    values: dict[str, Any] = {
        "endpoint": at.id,
        "address": address,
        "port": 443 if over_tls else 80,
        "host": at.host,
        "tls": over_tls,
        "failure": failure,
        "status": None if failure else 200,
    }
    return HTTPExchange(**values | other)


def transfer(
    address: str = A1,
    *,
    rate: int = 10_000_000,
    turn: int = 0,
    at: EndpointRef = HTTPS,
    frozen_after: int = 0,
    size: int = 65_536,
    **other: Any,
) -> Transfer:
    """So many bytes a second; or a stream that stops dead after so many bytes."""
    received = frozen_after or size
    flow = received * 1_000_000 // rate + (4_000_000 if frozen_after else 0)
    values: dict[str, Any] = {
        "endpoint": at.id,
        "address": address,
        "port": 443,
        "sni": at.host,
        "turn": turn,
        "failure": Failure.TIMEOUT if frozen_after else None,
        "wanted_bytes": 65_536,
        "received_bytes": received,
        "took_us": flow + 20_000,
        "rate": received * 1_000_000 // max(1, flow),
        "first_us": 20_000,
        "silence_us": 4_000_000 if frozen_after else 20_000,
    }
    return Transfer(**values | other)


def contrast(kind: Contrast) -> dict[str, Any]:
    return {"purpose": Purpose.CONTRAST, "contrast": kind}


INNOCUOUS = contrast(Contrast.INNOCUOUS_NAME) | {"sni": "harmless.example"}
INNOCUOUS_HOST = contrast(Contrast.INNOCUOUS_NAME) | {"host": "harmless.example"}
BESIDE = {"purpose": Purpose.CONTRAST}
"""Another transport to the same address."""
REPEAT = contrast(Contrast.REPEAT)
CLASSICAL = contrast(Contrast.CLASSICAL_HELLO) | {"profile": "classical"}
OWN_HOST = contrast(Contrast.REFLECTOR)
SILENT = contrast(Contrast.SILENT_ADDRESS) | {"resolver": "silent"}
BELOW = contrast(Contrast.NAME_BELOW) | {"name": f"a1b2c3d4e5.{HOST}"}
"""A name that should not exist."""
NO_VERIFY = contrast(Contrast.NO_VERIFY)


def measured(
    *observations: AnyObservation,
    endpoints: Sequence[EndpointRef] = (TLS,),
    target: str = "srv/chat",
    probe: str = PROBE,
    round: int = ROUND,
    **other: Any,
) -> Measurement:
    number = next(_ids)
    return Measurement(
        v=1,
        id=f"{number:032x}",
        probe=probe,
        target=target,
        round=round,
        started=round + 5,
        endpoints=tuple(endpoints),
        observations=observations,
        **other,
    )


def alive(
    *,
    international: Sequence[bool] = (True, True, True),
    domestic: Sequence[bool] = (),
    v6: bool = True,
    probe: str = PROBE,
    round: int = ROUND,
    names_answer: bool = True,
    **other: Any,
) -> list[Measurement]:
    """Liveness of both scopes: one TLS host for each given outcome."""
    scopes = {"international": international, "domestic": domestic}
    return [
        _scope(f"liveness/{name}", passes, v6, probe, round, names_answer, other)
        for name, passes in scopes.items()
        if passes
    ]


def _scope(
    target: str,
    passes: Sequence[bool],
    v6: bool,
    probe: str,
    round: int,
    names_answer: bool,
    other: dict[str, Any],
) -> Measurement:
    refs, seen = [], []
    for number, passed in enumerate(passes, 1):
        ref = endpoint("tls", host=f"l{number}.{function_of(target)}.example")
        refs.append(ref)
        address, six = f"14.0.0.{number}", f"2500::{number}"
        if names_answer:
            seen += [dns(address, at=ref), dns(six, at=ref, qtype="AAAA")]
        else:
            seen.append(dns(at=ref, failure=Failure.TIMEOUT))
        failure = None if passed else Failure.TIMEOUT
        seen.append(tcp(address, failure, at=ref))
        if passed:
            seen.append(tls(address, at=ref))
        seen.append(tcp(six, None if passed and v6 else Failure.NETWORK_UNREACHABLE, at=ref))
        if passed and v6:
            seen.append(tls(six, at=ref))
    return measured(
        *seen, endpoints=refs, target=target, probe=probe, round=round, combine="most", **other
    )


def control(*observations: AnyObservation, **other: Any) -> tuple[Measurement, list[Measurement]]:
    """The same target as an online control saw it; by default it works at A1 and A2."""
    round = other.get("round", ROUND)
    seen = observations or (dns(A1, A2), tcp(A1), tls(A1), tcp(A2), tls(A2))
    vantage = Vantage(role=Role.CONTROL)
    return (
        measured(*seen, probe=CONTROL_PROBE, vantage=vantage, **other),
        alive(probe=CONTROL_PROBE, round=round),
    )
