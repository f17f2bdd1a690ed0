"""The limits fit each other."""

from __future__ import annotations

from probes.endpoint.timeouts import Patience


def test_an_endpoint_outlasts_its_steps():
    patience = Patience()
    assert patience.endpoint > patience.dns_tail + 2 * patience.subject + 2 * patience.contrast
    assert patience.dns_tail == 18.0
    assert patience.contrast <= patience.subject
