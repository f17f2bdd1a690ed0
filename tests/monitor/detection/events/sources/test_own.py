"""What applies to our own vantages alone."""

from __future__ import annotations

from monitor.detection.events.life import NOTHING
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.state import ServiceState
from tests.monitor.detection.events.test_series import network, say
from tests.monitor.detection.worlds import INTERVAL, POLICY, START, blocked

OWN = OwnStrategy()
HOUR = 3_600_000


def test_a_quorum_that_can_no_longer_hold_is_over() -> None:
    """Where no evidence is left, nothing is counted."""
    place = network()
    say(place, 0, blocked(), blocked())
    state = ServiceState("wechat")
    evidence = OWN.weigh(state, place, "tls", START, False, POLICY)
    series = place.layers["tls"]
    assert (series.likely_since, evidence.agreeing, evidence.quorum) == (START, 2, True)
    series.tracks.clear()
    assert OWN.weigh(state, place, "tls", START + INTERVAL, False, POLICY) is NOTHING
    series = place.layers["tls"]
    assert (series.likely_since, series.known_since) == (0, 0)


def test_a_vantage_is_forgotten_when_its_baseline_is() -> None:
    days = POLICY.ms(POLICY.baseline.baseline_seconds + POLICY.baseline.baseline_lag_seconds)
    assert OWN.forgotten_before(START, POLICY) == START - days
