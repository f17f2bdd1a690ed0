"""Whether a host is cut off or one port of it, by what another port does there and at a control."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.model import Technique, Verdict
from probes.wire.failure import Failure
from probes.wire.observation import OTHER_PORT, AnyObservation, Purpose
from tests.monitor.detection.scenes import A1, A2, control, dns, endpoint, tcp
from tests.monitor.detection.sightings import verdict

XMPP = endpoint("tcp", port=5222)
SILENT: dict[str, Any] = {"failure": Failure.TIMEOUT}
CLOSED: dict[str, Any] = {"failure": Failure.REFUSED, "errno": 111}
NO_ROUTE: dict[str, Any] = {"failure": Failure.HOST_UNREACHABLE, "icmp_type": 3, "icmp_code": 1}
OPEN: dict[str, Any] = {}
REMARKS = {"partial:port", "other_port_fails"}


def beside(how: dict[str, Any] | None, address: str = A1) -> list[AnyObservation]:
    """A connect to another port; none where nothing is said of it."""
    if how is None:
        return []
    contrast: dict[str, Any] = {"purpose": Purpose.CONTRAST, "evidence": (OTHER_PORT,)}
    return [replace(tcp(address, at=XMPP, **contrast | how), port=443)]


def judged(how: dict[str, Any], *here: AnyObservation, there: list[AnyObservation]) -> Verdict:
    works = control(*(tcp(a, at=XMPP) for a in (A1, A2)), dns(A1, A2, at=XMPP), *there)
    fails = (tcp(a, at=XMPP, **how) for a in (A1, A2))
    return verdict(dns(A1, A2, at=XMPP), *fails, *here, endpoints=(XMPP,), beside=[works])


@pytest.mark.parametrize(
    ("how", "here", "there", "remark"),
    [
        (SILENT, OPEN, OPEN, "partial:port"),
        (SILENT, CLOSED, CLOSED, "partial:port"),
        (SILENT, CLOSED, None, "partial:port"),
        (CLOSED, OPEN, OPEN, "partial:port"),
        (NO_ROUTE, OPEN, None, "partial:port"),
        (SILENT, SILENT, OPEN, "other_port_fails"),
        (SILENT, SILENT, CLOSED, "other_port_fails"),
        (SILENT, NO_ROUTE, OPEN, "other_port_fails"),
        (CLOSED, CLOSED, OPEN, "other_port_fails"),
        (CLOSED, SILENT, CLOSED, "other_port_fails"),
        (SILENT, SILENT, SILENT, None),
        (SILENT, SILENT, None, None),
        (CLOSED, CLOSED, CLOSED, None),
        (SILENT, None, OPEN, None),
    ],
)
def test_what_another_port_says(
    how: dict[str, Any], here: Any, there: Any, remark: str | None
) -> None:
    said = judged(how, *beside(here), there=beside(there))
    assert said.technique in (
        Technique.TCP_TIMEOUT,
        Technique.TCP_RESET,
        Technique.TCP_UNREACHABLE,
    )
    assert REMARKS.intersection(said.evidence) == ({remark} if remark else set())


def test_addresses_are_compared_with_themselves_alone() -> None:
    elsewhere = judged(SILENT, *beside(SILENT, A2), there=beside(OPEN, A1))
    assert not REMARKS.intersection(elsewhere.evidence)
    both = judged(SILENT, *beside(SILENT), *beside(OPEN, A2), there=beside(OPEN))
    assert set(both.evidence) >= REMARKS, "the one address is cut off, the other one is not"


def test_a_connection_at_another_port_is_none_to_the_service() -> None:
    said = judged(SILENT, *beside(OPEN), there=beside(OPEN))
    assert (said.state, said.addresses.total, said.addresses.failed) == ("blocked", 2, 2)
