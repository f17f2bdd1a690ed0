"""What rounds, retests and the connection to the monitor are charged with."""

from __future__ import annotations

import pytest

from probes.daemon.traffic_account import Bill, TrafficAccount, sent_bytes
from probes.rounds.scheduler import MONTH_MS
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH
from probes.runtime.traffic_meter import TrafficMeter

LINE = 5000


class Budget:
    """Remembers what it is charged with."""

    def __init__(self) -> None:
        self.rounds: list[float] = []
        self.others: list[float] = []
        self.spend = self.others.append

    def spend_round(self, spent: float, **_: object) -> None:
        self.rounds.append(spent)

    def spend_retest(self, spent: float, targets: int) -> None:
        self.others.append(spent / targets)


class Books:
    """An account, and all that it is made from."""

    def __init__(self) -> None:
        self.budget, self.now = Budget(), 0.0
        self.measuring, self.delivery = TrafficMeter(), TrafficMeter()
        self.account = TrafficAccount(
            self.budget,  # type: ignore[arg-type]
            self.measuring,
            self.delivery,
            lambda: self.now,
        )

    def bill(self, carried: int) -> Bill:
        """The bill of a round or retest that has carried so much."""
        meter = TrafficMeter(self.measuring)
        meter.add(carried)
        return self.account.open(meter)


def test_a_round_is_charged_what_crossed_the_wire_and_what_sending_it_takes() -> None:
    books = Books()
    for _ in range(2):
        bill = books.bill(700)
        bill.add(LINE)
        books.account.close_round(bill, usual=True)
    assert books.budget.rounds == [700 + sent_bytes(LINE)] * 2
    books.account.close_round(books.bill(0), usual=False)
    assert (books.budget.rounds[2:], books.budget.others) == ([], [0])


def test_a_retest_beside_a_round_is_paid_at_once_and_not_again_by_the_round() -> None:
    books = Books()
    round_bill, retest_bill = books.bill(700), books.bill(300)
    round_bill.add(LINE)
    retest_bill.add(2 * LINE)
    books.delivery.add(sent_bytes(3 * LINE))
    books.account.close_retest(retest_bill, 2)
    assert books.budget.others == [(300 + sent_bytes(2 * LINE)) / 2]
    books.account.close_round(round_bill, usual=True)
    assert books.budget.rounds == [700 + sent_bytes(LINE)]
    assert books.account.wire_bytes() == 1000 + sent_bytes(3 * LINE)


def test_delivery_is_charged_where_it_exceeds_what_is_reserved_and_changes_no_interval() -> None:
    books = Books()
    books.now = MONTH_MS / 1000 / 100
    bill = books.bill(0)
    bill.add(LINE)
    paid = CONNECTION_BYTES_PER_MONTH // 100 + sent_bytes(LINE)
    books.delivery.add(paid)
    books.account.close_round(bill, usual=True)
    assert books.budget.others == []
    books.delivery.add(5_000_000)  # of somebody else's making
    books.account.close_round(books.bill(0), usual=True)
    assert books.budget.others == [pytest.approx(5_000_000)]
    assert books.budget.rounds == [sent_bytes(LINE), 0]
    assert books.account.wire_bytes() == paid + 5_000_000
