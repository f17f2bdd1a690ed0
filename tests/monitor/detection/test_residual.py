"""A censor that goes on blocking a pair of addresses after a trigger taints what is said next."""

from __future__ import annotations

import pytest

from monitor.detection.judge.target import judge
from probes.wire.failure import Failure
from tests.monitor.detection.scenes import (
    A1,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    alive,
    control,
    dns,
    measured,
    tcp,
    tls,
)

DIES = Failure.RESET
BEFORE, AFTER, WARNED = {"at_us": 10}, {"at_us": 90}, {"at_us": 10, "evidence": ("after_trigger",)}


@pytest.mark.parametrize(
    ("innocuous", "harmless", "elsewhere", "technique", "evidence"),
    [
        # Untainted: it is the address.
        (BEFORE, DIES, None, "tls.reset.other", ()),
        # The name first, then whatever: only our own host can tell.
        (AFTER, DIES, None, None, ("residual_possible",)),
        (WARNED, DIES, None, None, ("residual_possible",)),
        (AFTER, DIES, "passes", "tls.reset.other", ("residual_possible",)),
        (AFTER, DIES, DIES, "tls.reset.sni", ()),
        (WARNED, DIES, DIES, "tls.reset.sni", ()),
        # What passes is proof whenever it passed.
        (AFTER, None, None, "tls.reset.sni", ()),
        (WARNED, None, None, "tls.reset.sni", ()),
    ],
)
def test_which_technique(innocuous, harmless, elsewhere, technique, evidence) -> None:  # type: ignore[no-untyped-def]
    seen = [
        dns(A1),
        tcp(A1),
        tls(A1, DIES, at_us=50),
        tls(A1, harmless, **INNOCUOUS, **innocuous),
    ]
    if elsewhere is not None:
        died = None if elsewhere == "passes" else elsewhere
        seen.append(tls(REFLECTOR, died, at_us=99, **OWN_HOST))
    said = judge(measured(*seen), alive(), [control()])
    assert (said.state, said.technique, said.evidence) == ("blocked", technique, evidence)
