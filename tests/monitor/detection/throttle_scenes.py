"""What a probe sees of throttling and freezing: rows for the judge's tests."""

from __future__ import annotations

from typing import Any

from monitor.detection.model import Technique
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    HTTPS,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    control,
    dns,
    http,
    tcp,
    tls,
    transfer,
)

FAST, SLOW = 10_000_000, 20_000
FROZEN = {"frozen_after": 16_000}
ELSEWHERE = OWN_HOST | {"sni": "harmless.example"}
"""An innocuous name at our own host."""


def secure(*seen: AnyObservation, status: str | None = None) -> tuple[AnyObservation, ...]:
    """An https endpoint that answered, and what was seen of its speed."""
    asked = http(A1, status, at=HTTPS, received_bytes=900, took_us=30_000)
    return (dns(A1, at=HTTPS), tcp(A1, at=HTTPS), tls(A1, at=HTTPS), asked, *seen)


def series(own: dict[str, Any], innocuous: dict[str, Any]) -> tuple[AnyObservation, ...]:
    """Turns 0 to 3: the service's name, an innocuous one twice, the service's."""
    return (
        transfer(turn=0, **own),
        transfer(turn=1, **INNOCUOUS, **innocuous),
        transfer(turn=2, **INNOCUOUS, **innocuous),
        transfer(turn=3, **own),
    )


def elsewhere(rate: int, turn: int = 0) -> AnyObservation:
    """What our own host gave an innocuous name."""
    return transfer(REFLECTOR, rate=rate, turn=turn, **ELSEWHERE)


CONTROL = control(*secure(transfer()), endpoints=(HTTPS,))
GIVEN: dict[str, Any] = {"endpoints": (HTTPS,), "beside": [CONTROL]}
STALLED = http(A1, Failure.TIMEOUT, at=HTTPS, received_bytes=16_000)
THROTTLED: dict[str, tuple[Technique, str, tuple[AnyObservation, ...]]] = {
    "by name": (
        Technique.THROTTLE_SNI,
        "throttle.sni",
        secure(*series({"rate": SLOW}, {"rate": FAST})),
    ),
    "by address": (
        Technique.THROTTLE_ADDRESS,
        "throttle.address",
        secure(*series({"rate": SLOW}, {"rate": SLOW}), elsewhere(FAST)),
    ),
    "by address, and no second handshake passes the shaper": (
        Technique.THROTTLE_ADDRESS,
        "throttle.address",
        secure(*series({"rate": SLOW}, {"rate": SLOW})[:3], elsewhere(FAST)),
    ),
    "frozen by name": (
        Technique.THROTTLE_FREEZE,
        "throttle.freeze.sni",
        secure(*series(FROZEN, {"rate": FAST}), status=Failure.TIMEOUT),
    ),
    "frozen whatever the name": (
        Technique.THROTTLE_FREEZE,
        "throttle.freeze.address",
        secure(*series(FROZEN, FROZEN), elsewhere(FAST), status=Failure.TIMEOUT),
    ),
    "by name, seen at our own host": (
        Technique.THROTTLE_SNI,
        "throttle.sni",
        secure(
            transfer(rate=SLOW),
            transfer(REFLECTOR, rate=FAST, turn=0, **ELSEWHERE),
            transfer(REFLECTOR, rate=SLOW, turn=1, **OWN_HOST),
            transfer(REFLECTOR, rate=SLOW, turn=2, **OWN_HOST),
            transfer(REFLECTOR, rate=FAST, turn=3, **ELSEWHERE),
            transfer(rate=SLOW, turn=1),
        ),
    ),
    "one noisy turn": (
        Technique.THROTTLE_SNI,
        "throttle.sni",
        secure(
            *series({"rate": SLOW}, {"rate": FAST})[:2],
            transfer(turn=2, rate=5 * SLOW, **INNOCUOUS),
            transfer(turn=3, rate=SLOW),
            transfer(turn=4, rate=SLOW),
            transfer(turn=5, rate=FAST, **INNOCUOUS),
        ),
    ),
}
FINE: dict[str, tuple[str, tuple[AnyObservation, ...]]] = {
    "fast": ("http.same_answer", secure(transfer())),
    "a slow line": (
        "slow_for_every_name",
        secure(*series({"rate": SLOW}, {"rate": SLOW})[:2], elsewhere(SLOW)),
    ),
    "a slow line, no other host known": (
        "slow",
        secure(*series({"rate": SLOW}, {"rate": SLOW})),
    ),
    "a fifth": ("slow", secure(*series({"rate": SLOW}, {"rate": 5 * SLOW}))),
    "a tenth once": (
        "slow",
        secure(
            *series({"rate": SLOW}, {"rate": FAST})[:2],
            transfer(turn=2, rate=SLOW, **INNOCUOUS),
            transfer(turn=3, rate=SLOW),
        ),
    ),
    "fast enough, and a faster name": (
        "http.same_answer",
        secure(*series({"rate": 2_000_000}, {"rate": 40_000_000})),
    ),
    "slow once, and reset once": (
        "slow",
        secure(
            *series({"rate": SLOW}, {"rate": FAST})[:3],
            transfer(turn=3, size=600, failure=Failure.RESET),
        ),
    ),
    "small answers, each of which a distant server thinks about": (
        "slow",
        secure(
            *series({"rate": SLOW, "requests": 16}, {"rate": SLOW, "requests": 16}),
            elsewhere(FAST),
        ),
    ),
    "one long stream of our own host where the delay varies, hardly faster with all waits": (
        "slow_elsewhere",
        secure(
            *series(
                {"rate": 180_000, "size": 200_000, "took_us": 1_400_000},
                {"rate": 170_000, "size": 200_000, "took_us": 1_500_000},
            ),
            transfer(REFLECTOR, rate=5_600_000, size=660_000, took_us=2_500_000, **ELSEWHERE),
        ),
    ),
    "one stall": ("slow", secure(transfer(**FROZEN), transfer(turn=1, rate=FAST, **INNOCUOUS))),
}
