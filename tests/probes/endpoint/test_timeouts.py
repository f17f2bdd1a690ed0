"""The limits fit each other."""

from __future__ import annotations

from probes.endpoint.timeouts import Timeouts


def test_an_endpoint_outlasts_its_steps():
    timeouts = Timeouts()
    assert timeouts.endpoint > timeouts.dns_tail + 2 * timeouts.subject + 2 * timeouts.contrast
    assert timeouts.dns_tail == 18.0
    assert timeouts.contrast <= timeouts.subject
