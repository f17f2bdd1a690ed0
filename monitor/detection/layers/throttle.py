# SPDX-License-Identifier: Apache-2.0
"""Rules over the transfers of one address: throttled, frozen, or merely slow.

Only pairs accuse. A slow line slows every name and our own host, a slow server the control as
well; neither is anybody's doing that we could name.
"""

from __future__ import annotations

from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.throttle_facts import TransferFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.rule import Rule

_TLS = Layer.TLS
THROTTLE_RULES: tuple[Rule[TransferFacts], ...] = (
    Rule(
        "throttle.runs",
        _TLS,
        lambda f: not f.slow,
        State.OK,
        "Bytes come at a usable speed.",
    ),
    Rule(
        "throttle.control_slow_too",
        _TLS,
        lambda f: f.reach is Reach.SAME,
        State.OK,
        "Slow, and as slow for the control: the service's own trouble.",
        evidence=("slow_for_control_too",),
    ),
    Rule(
        "throttle.freeze.sni",
        _TLS,
        lambda f: f.frozen and f.by_name,
        State.THROTTLED,
        "The stream stops dead after its first kilobytes for the service's name, again and again, "
        "while an innocuous name gets everything from the same address. (typed)",
        Technique.THROTTLE_FREEZE,
        3_700_000,
    ),
    Rule(
        "throttle.sni",
        _TLS,
        lambda f: f.by_name,
        State.THROTTLED,
        "With the service's name bytes come at a tenth or less of what an innocuous name gets from "
        "the same address, in both orders. (typed)",
        Technique.THROTTLE_SNI,
        3_700_000,
    ),
    Rule(
        "throttle.everywhere",
        _TLS,
        lambda f: f.elsewhere is False,
        State.OK,
        "Slow, whatever the name, and our own host is slow as well: the line is, for everyone.",
        evidence=("slow_for_every_name", "slow_elsewhere"),
    ),
    Rule(
        "throttle.freeze.address",
        _TLS,
        lambda f: f.frozen and f.whatever_name and f.elsewhere is True,
        State.THROTTLED,
        "Every stream from this address stops dead after its first kilobytes, whatever the name, "
        "while our own host and the control's transfer are not cut. (typed, halved)",
        Technique.THROTTLE_FREEZE,
        1_800_000,
        evidence=("whatever_name",),
    ),
    Rule(
        "throttle.address",
        _TLS,
        lambda f: (
            f.whatever_name
            and f.elsewhere is True
            and (f.control_tenth or f.reach is Reach.UNKNOWN)
        ),
        State.THROTTLED,
        "Whatever the name, this address gives a tenth or less of what the control gets from it "
        "and of what our own host gives here. (low: a bad route does the same)",
        Technique.THROTTLE_ADDRESS,
        1_200_000,
    ),
    Rule(
        "throttle.slow",
        _TLS,
        lambda _: True,
        State.OK,
        "Slow, and no pair of transfers says whose doing it is.",
        evidence=("slow",),
    ),
)
