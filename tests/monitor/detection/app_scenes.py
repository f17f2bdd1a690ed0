"""What a probe saw of an app's own protocol, and rows of it for the judge's tests."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.detection.model import Technique
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import AnyObservation, AppExchange
from tests.monitor.detection.scenes import A1, REPEAT, alive, control, dns, endpoint
from tests.monitor.detection.scenes import tcp as tcp_attempt

CHAT = endpoint("mtproto")
CALLS = endpoint("stun", port=3478)
PAGE = b"HTTP/1.1 403 Forbidden\r\nServer: x\r\n\r\n<html><title>Restricted</title><h1>Access to "
PAGE += b"this site has been blocked</h1>By order of the court, number 1-234."
Row = tuple[tuple[AnyObservation, ...], dict[str, Any]]


def app(
    address: str = A1, failure: str | None = None, *, at: EndpointRef = CHAT, **other: Any
) -> AppExchange:
    udp = at.protocol == "stun"
    values: dict[str, Any] = {
        "endpoint": at.id,
        "address": address,
        "port": int(at.id.rpartition("/")[0].rpartition(":")[2]),
        "protocol": at.protocol,
        "transport": "udp" if udp else "tcp",
        "failure": failure,
        "spoke": failure is None,
        "reply": "res_pq" if failure is None else None,
    }
    return AppExchange(**values | other)


def foreign(excerpt: bytes = b"220 mail.example", **other: Any) -> AppExchange:
    """Something answers that is not of the protocol."""
    return app(**{"spoke": False, "reply": None, "excerpt": excerpt} | other)


def twice(failure: str, **other: Any) -> tuple[AppExchange, ...]:
    return app(A1, failure, **other), app(A1, failure, **REPEAT, **other)


def chat(*seen: AnyObservation) -> tuple[AnyObservation, ...]:
    return (dns(A1, at=CHAT), tcp_attempt(A1, at=CHAT), *seen)


def calls(*seen: AnyObservation) -> tuple[AnyObservation, ...]:
    return (dns(A1, at=CALLS), *seen)


def with_udp(port: int = 3478, passes: bool = True, **given: Any) -> list[Measurement]:
    """Liveness with one host more, which is asked over UDP."""
    whole, *others = alive(**given)
    ref = endpoint("stun", "l9.example", port)
    said = app("14.0.0.9", None if passes else Failure.TIMEOUT, at=ref)
    asked = msgspec.structs.replace(
        whole, endpoints=(*whole.endpoints, ref), observations=(*whole.observations, said)
    )
    return [asked, *others]


CONTROL_CHAT = control(*chat(app()), endpoints=(CHAT,))
CONTROL_CALLS = control(*calls(app(at=CALLS)), endpoints=(CALLS,))
ON_CHAT: dict[str, Any] = {"endpoints": (CHAT,), "beside": [CONTROL_CHAT]}
ON_CALLS: dict[str, Any] = {
    "endpoints": (CALLS,),
    "beside": [CONTROL_CALLS],
    "liveness": with_udp(),
}
BLOCKED: dict[Technique, Row] = {
    Technique.APP_RESET: (chat(*twice(Failure.RESET)), ON_CHAT),
    Technique.APP_TIMEOUT: (chat(*twice(Failure.TIMEOUT)), ON_CHAT),
    Technique.UDP_TIMEOUT: (calls(*twice(Failure.TIMEOUT, at=CALLS)), ON_CALLS),
}
