"""A run becomes one Measurement a target, the same whatever the order it came in."""

from __future__ import annotations

import msgspec

from monitor.detection.observed.imported_run import ROUND_MS, RUN_STEP
from monitor.interop.ooni.csvrows import run_of
from monitor.interop.ooni.run import Run, measurements, pseudonym, stored, text, token
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement, Role
from probes.wire.observation import TCPConnect, Unrecognised
from tests.monitor.interop.samples import (
    DC,
    READ,
    ObservationRow,
    dc_cells,
    targets_by_name,
    web_cells,
)


def made(**left: object) -> list[Measurement]:
    cells = [web_cells(), *(dc_cells(address) for address in DC)]
    run = run_of(
        [ObservationRow._make(each[name] for name in READ) for each in cells], targets_by_name()
    )
    run.left |= left
    return measurements(run, targets_by_name())


def test_one_measurement_a_target_that_the_wire_takes() -> None:
    dc, web = made()
    assert (dc.target, web.target) == ("telegram/dc", "telegram/web")
    for each in (dc, web):
        assert decode(encode(each)) == each
        assert each.round % ROUND_MS == 0
        assert each.round <= each.started < each.round + ROUND_MS
        assert (each.vantage.country, each.vantage.asn) == ("KE", 64500)
        assert each.vantage.resolver_class == "isp"
    assert len(dc.endpoints) >= 12
    assert sum(isinstance(seen, TCPConnect) for seen in dc.observations) == 3


def test_ids_are_stable_and_differ_by_target() -> None:
    first, again = made(), made()
    assert [each.id for each in first] == [each.id for each in again]
    assert len({each.id for each in first}) == 2
    assert first[0].probe == first[1].probe == pseudonym("KE", 64500)
    assert pseudonym("KE", 64500) != pseudonym("TZ", 64500)


def test_what_has_no_place_is_kept_once_and_the_whole_run_is_counted() -> None:
    dc, web = made(note="kept")
    records = [each.observations[-1] for each in (dc, web)]
    assert all(isinstance(each, Unrecognised) and each.step == RUN_STEP for each in records)
    told = [msgspec.json.decode(each.raw) for each in records if isinstance(each, Unrecognised)]
    assert told[0]["left"]["note"] == "kept"
    assert "left" not in told[1]
    assert all(each["passed"] == 1 + 3 + 3 for each in told)  # the resolver; web; addresses


def test_a_record_that_is_too_long_says_how_much_was_left_out() -> None:
    dc, _ = made(page="x" * 600_000)
    record = dc.observations[-1]
    assert isinstance(record, Unrecognised)
    assert b"left_out" in record.raw
    assert decode(encode(dc)) == dc


def test_nothing_of_ours_makes_no_measurement() -> None:
    run = Run(report="r", input="", name="web_connectivity", started=1, country="KE", asn=1)
    run.add_step(None, None, True)
    assert measurements(run, targets_by_name()) == []


def test_imported_measurements_have_one_owner_and_are_old() -> None:
    one = stored(made()[0])
    assert (one.owner, one.source, one.role, one.enrolled) == ("ooni", "ooni", Role.VANTAGE, 0)


def test_words_from_strangers_fit_the_wire() -> None:
    assert text("a\x00b" + "c" * 2000) == "a\ufffdb" + "c" * 1021
    assert text(None) == ""
    assert token("TLSv1.3 / x") == "TLSv1.3---x"
    assert token(7) == ""
