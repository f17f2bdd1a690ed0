"""Slowed down, frozen, or merely slow."""

from __future__ import annotations

from tests.lab.cases.case import ANY, WORKS, Case

_HTTPS = ("https",)
CASES: tuple[Case, ...] = (
    Case("throttle.sni", "throttled", ("throttle.sni",), "throttle.sni", _HTTPS),
    Case("throttle.policed", "throttled", ("throttle.sni",), "throttle.sni", _HTTPS),
    Case("throttle.address", "throttled", ("throttle.address",), "throttle.address", _HTTPS),
    Case("throttle.freeze", "throttled", ("throttle.freeze.sni",), "throttle.freeze", _HTTPS),
    Case(
        "throttle.freeze_address",
        "throttled",
        ("throttle.freeze.address",),
        "throttle.freeze",
        _HTTPS,
        evidence=("whatever_name",),
    ),
    # The first transfer comes through; what follows with the service's name dies in the handshake.
    Case("throttle.jammed", "throttled", ("throttle.address",), "throttle.address", _HTTPS),
    # Where handshakes die too in the narrow link, the background may excuse what is slow.
    Case("pace.congestion", "ok", WORKS, None, _HTTPS, everyone=True),
    Case("pace.sluggish", "ok", WORKS, None, _HTTPS, evidence=("slow_for_control_too",)),
    # On a busy machine small answers come slowly to the control as well.
    Case("pace.thinks", "ok", WORKS, None, _HTTPS),
    Case("pace.at_times", "ok", WORKS, None, _HTTPS, evidence=("slow",)),
    Case("pace.loss_and_delay", "ok", WORKS, None, ANY, everyone=True),
)
