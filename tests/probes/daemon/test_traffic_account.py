"""What rounds and retests are charged with."""

from __future__ import annotations

from probes.daemon.traffic_account import TrafficAccount
from probes.delivery.outbox import DeliveryStats
from probes.rounds.traffic_cost import sent_bytes, spent_bytes
from tests.probes.delivery.test_spool import draft

LINE = 5000


class Budget:
    """Remembers what it is charged with."""

    def __init__(self) -> None:
        self.rounds: list[float] = []
        self.others: list[float] = []
        self.spend_round, self.spend = self.rounds.append, self.others.append


def test_a_round_pays_for_its_measurements_and_for_what_is_sent_again() -> None:
    budget, stats = Budget(), DeliveryStats()
    account = TrafficAccount(budget, stats)  # type: ignore[arg-type]
    cost = spent_bytes(draft(), LINE)
    for _ in range(2):
        account.open_round()
        account.add(draft(), LINE)
        account.add(draft(), LINE)
        stats.published_bytes += 2 * sent_bytes(LINE)
        account.close_round(usual=True)
    assert budget.rounds == [2 * cost] * 2
    stats.published_bytes += 300  # a batch was sent again
    account.open_round()
    account.close_round(usual=False)
    assert (budget.rounds[2:], budget.others) == ([], [300])


def test_a_retest_is_paid_at_once_and_not_again_by_the_next_round() -> None:
    budget, stats = Budget(), DeliveryStats()
    account = TrafficAccount(budget, stats)  # type: ignore[arg-type]
    account.charge_retest(draft(), LINE)
    assert budget.others == [spent_bytes(draft(), LINE)]
    stats.published_bytes += sent_bytes(LINE)
    account.open_round()
    account.close_round(usual=True)
    assert budget.rounds == [0]
