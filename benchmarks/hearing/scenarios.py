# SPDX-License-Identifier: Apache-2.0
"""What may happen to a volunteer's traffic: services that fail, servers and brokers that send what
nobody asked for, and a line that comes and goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SIX = ("whatsapp", "telegram", "signal", "messenger", "instagram", "x")
"""Services that are blocked together where much is."""
ALL = ("*",)


class How(Enum):
    """What a service that fails meets."""

    REFUSED = "refused"
    """Each connection to its addresses is refused."""
    SILENT = "silent"
    """Nothing that is sent to its addresses is answered."""
    RESET = "reset"
    """A connection that shows its name is reset."""


class Page(Enum):
    """What web servers answer."""

    USUAL = "usual"
    HUGE = "100 MB"
    REDIRECT = "redirects"
    DRIP = "drips"


class BrokerKind(Enum):
    """What the broker does."""

    HONEST = "honest"
    FLOODING = "floods"
    """Sends as much as it can, at once."""
    CHATTING = "chats"
    """Answers every packet with as much as passes unnoticed."""


@dataclass(frozen=True)
class Scenario:
    """One day of a volunteer."""

    name: str
    services: tuple[str, ...] = ()
    """Those that fail."""
    how: How = How.REFUSED
    page: Page = Page.USUAL
    broker: BrokerKind = BrokerKind.HONEST
    flapping: bool = False
    hours: float = 12.0
    """Of its time that are played: enough for the reserves of the budget to be used up in half of
    it; fewer where each round takes minutes."""

    @property
    def waits(self) -> bool:
        """Whether it takes time rather than the processor."""
        return self.how is How.SILENT or self.page is Page.DRIP


def _failing() -> list[Scenario]:
    sizes = (("1", SIX[:1]), ("6", SIX), ("all", ALL))
    return [
        Scenario(f"{number}-{how.value}", services, how, hours=3 if how is How.SILENT else 12)
        for how in How
        for number, services in sizes
    ]


SCENARIOS = (
    Scenario("none"),
    *_failing(),
    Scenario("100-MB-answers", page=Page.HUGE),
    Scenario("redirects", page=Page.REDIRECT),
    Scenario("drips", page=Page.DRIP, hours=6),
    Scenario("broker-floods", broker=BrokerKind.FLOODING),
    Scenario("broker-chats", broker=BrokerKind.CHATTING),
    Scenario("flapping", flapping=True),
)
