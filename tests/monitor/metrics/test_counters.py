from __future__ import annotations

from monitor.metrics.counters import Counters
from monitor.metrics.lags import Lags


def test_unready_until_there_is_a_broker_and_a_store() -> None:
    counters = Counters()
    assert counters.unready == ("broker: not connected yet",)
    counters.broker = ""
    assert counters.unready == ()
    counters.store = "disk full"
    assert counters.unready == ("store: disk full",)


def test_the_lag_can_be_the_one_that_is_exposed() -> None:
    lags = Lags()
    Counters(lags.ingest).lag.observe(3)
    assert lags.ingest.sum == 3
