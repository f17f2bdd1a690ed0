"""Ids and words of a Measurement."""

from __future__ import annotations

from probes.wire.measurement import Measurement, function_of, measurement_id, service_of

SAMPLE = Measurement(
    v=1, id="0" * 32, probe="p-" + "a" * 16, target="wechat/web", round=1, started=1
)


def test_the_id_depends_on_probe_epoch_and_sequence_and_on_nothing_else() -> None:
    ids = {
        measurement_id(probe, epoch, sequence)
        for probe in ("p-1", "p-2")
        for epoch in ("e", "f")
        for sequence in (1, 2)
    }
    assert len(ids) == 8
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
    assert measurement_id("p-1", "e", 1) == measurement_id("p-1", "e", 1)


def test_the_id_of_a_target_is_its_service_and_its_function() -> None:
    assert SAMPLE.service == service_of(SAMPLE.target) == "wechat"
    assert function_of(SAMPLE.target) == "web"
