"""Every protocol of the table is measured, by the file that its entry names."""

from __future__ import annotations

from probes.protocols import registry
from probes.wire.protocol import PROTOCOLS, UNKNOWN, protocol


def test_every_protocol_is_measured_by_its_own_file() -> None:
    assert registry.MEASURE.keys() == PROTOCOLS.keys()
    for name, measure in registry.MEASURE.items():
        assert measure.__module__ == f"probes.protocols.{PROTOCOLS[name].module}"


def test_an_unknown_protocol_is_taken_for_tcp_and_not_measured() -> None:
    assert protocol("later") is UNKNOWN
    assert "later" not in registry.MEASURE
