"""What is read of a whole run, and what the helper's answer says."""

from __future__ import annotations

import pytest

from monitor.detection.observed.imported_run import RUN_STEP, Helper, RunRecord, record_of
from probes.wire.observation import Unrecognised
from tests.monitor.detection.imported_runs import dc, record


def test_the_record_is_found_among_observations() -> None:
    found = record_of([*dc(0), record(3, network_type="vpn", helper={"name": "t.me"})])
    assert (found.passed, found.network_type) == (3, "vpn")
    assert found.helper == Helper(name="t.me")


def test_without_a_record_or_with_a_broken_one_nothing_is_known() -> None:
    broken = Unrecognised(step=RUN_STEP, raw=b'{"passed": "many"}')
    assert record_of(dc(0)) == record_of([broken]) == RunRecord()


@pytest.mark.parametrize(
    ("helper", "reaches"),
    [
        (Helper(), False),
        (Helper(http=False, tcp={"192.0.2.1:443": False}), False),
        (Helper(http=True), True),
        (Helper(http=False, tls={"192.0.2.1:443": True}), False),
        (Helper(tls={"192.0.2.1:443": True, "192.0.2.2:443": False}), True),
        (Helper(tcp={"0.0.0.0:443": True}), False),
    ],
)
def test_whether_the_site_works_for_the_helper(helper: Helper, reaches: bool) -> None:
    assert helper.reaches() is reaches
