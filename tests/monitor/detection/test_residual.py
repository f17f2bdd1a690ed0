"""A censor that goes on blocking a pair of addresses after a trigger taints what is said next."""

from __future__ import annotations

import pytest

from monitor.detection.judge.target import judge
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation, Contrast
from tests.monitor.detection.scenes import (
    A1,
    A2,
    HTTPS,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    TLS,
    alive,
    control,
    dns,
    foreign,
    measured,
    tcp,
    tls,
)

DIES = Failure.RESET
BEFORE, AFTER, WARNED = {"at_us": 10}, {"at_us": 90}, {"at_us": 10, "evidence": ("after_trigger",)}


NOT_REACHED = tcp(REFLECTOR, Failure.TIMEOUT, contrast=Contrast.INNOCUOUS_NAME)


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


@pytest.mark.parametrize(
    ("beside", "technique"),
    [
        # No other name was shown to our own host.
        ((), "tls.reset.sni"),
        ((tls(REFLECTOR, **INNOCUOUS),), "tls.reset.sni"),
        ((foreign(REFLECTOR, **INNOCUOUS),), "tls.reset.sni"),
        # It fails for every name, or cannot be reached: it says nothing of ours.
        ((tls(REFLECTOR, DIES, **INNOCUOUS),), None),
        ((tls(REFLECTOR, Failure.TIMEOUT, **INNOCUOUS),), None),
        ((NOT_REACHED,), None),
        # What passed beside another endpoint of the target shows that it works.
        ((NOT_REACHED, tls(REFLECTOR, at=HTTPS, **INNOCUOUS)), "tls.reset.sni"),
        ((NOT_REACHED, tls(REFLECTOR, at=HTTPS, **OWN_HOST)), "tls.reset.sni"),
        ((NOT_REACHED, tls(REFLECTOR, DIES, at=HTTPS, **OWN_HOST)), None),
    ],
)
def test_our_own_host_tells_nothing_where_it_fails_for_every_name(
    beside: tuple[AnyObservation, ...], technique: str | None
) -> None:
    seen = measured(
        *(dns(A1), tcp(A1), tls(A1, DIES, at_us=50), tls(A1, DIES, **INNOCUOUS, **AFTER)),
        *(tls(REFLECTOR, DIES, **OWN_HOST), *beside),
        endpoints=(TLS, HTTPS),
    )
    said = judge(seen, alive(), [control()])
    assert said.technique == technique
    assert said.rule == (technique or "tls.reset.untold")


def test_a_server_for_one_region_that_is_down_is_not_blocked_by_name() -> None:
    """No control sees its address, and our own host is down as well."""
    dead = (tls(A2, DIES, at_us=50), tls(A2, DIES, **INNOCUOUS, **AFTER))
    ours = tls(REFLECTOR, DIES, **OWN_HOST)
    broken = measured(dns(A2), tcp(A2), *dead, tls(REFLECTOR, DIES, **INNOCUOUS), ours)
    elsewhere = control(dns(A1), tcp(A1), tls(A1))
    said = judge(broken, alive(), [elsewhere])
    assert (said.state, said.technique) == ("inconclusive", None)
    assert "unseen_address" in said.evidence
    works = measured(dns(A2), tcp(A2), *dead, tls(REFLECTOR, **INNOCUOUS), ours)
    said = judge(works, alive(), [elsewhere])
    assert (said.state, said.technique) == ("blocked", "tls.reset.sni")
