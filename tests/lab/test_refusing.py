"""Who refuses connections, on a way of real routers: a device on the way, or the server."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from monitor.detection.layers.nearer import HOPS_BEFORE, refusal_remarks
from monitor.detection.observed.kinds import Kind
from probes.wire.observation import INNOCUOUS_REFUSED, PathTrace
from tests.lab.apart import record_of
from tests.lab.conftest import need
from tests.lab.refusing import PLACES

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_who_refuses_is_told_by_hops(tmp_path: Path) -> None:
    need()
    record = record_of("tests.lab.refusing", tmp_path / "way", str(tmp_path / "way"), seconds=300)
    traces = {name: msgspec.convert(seen, PathTrace) for name, seen in record.items()}
    said = {name: refusal_remarks(Kind.RESET, [trace]) for name, trace in traces.items()}
    assert set(said) == set(PLACES)
    assert {name: remarks[0] for name, remarks in said.items()} == {
        # A router decrements before it filters, so what filters at the second acts at the third.
        "a device on the way": "acts_at_hop:3",
        "a firewall beside the server": "acts_at_hop:8",
        "an office that lets few ports out": "acts_at_hop:3",
        "a proxy that answers for everybody": "acts_at_hop:2",
        "the server": "acts_at_hop:9",
    }
    assert {name for name, remarks in said.items() if HOPS_BEFORE in remarks} == {
        "a device on the way"
    }
    assert {name for name, trace in traces.items() if INNOCUOUS_REFUSED in trace.evidence} == {
        "an office that lets few ports out"
    }
