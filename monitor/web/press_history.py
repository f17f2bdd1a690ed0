# SPDX-License-Identifier: Apache-2.0
"""Example history of the demonstration: blocks that were reported by the press.

Nothing of it was measured here. It is text for pages, and neither an event nor in any count, alert
or metric. Days are those of the reports.
"""

from __future__ import annotations

import msgspec


class PressReport(msgspec.Struct, frozen=True):
    """A public source."""

    publisher: str
    day: str
    """ISO date of publication."""
    url: str


class ReportedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block as the press reported it."""

    service: str
    name: str
    country: str
    began: str
    """ISO date."""
    ended: str | None
    """ISO date; None: no report says that it was lifted."""
    story: str
    sources: tuple[PressReport, ...]


REPORTED = (
    ReportedBlock(
        service="wechat",
        name="WeChat",
        country="RU",
        began="2017-05-04",
        ended="2017-05-11",
        story="The regulator, Roskomnadzor, entered WeChat in the register of blocked addresses "
        "because it had not given its contact data for the register of organisers of the "
        "dissemination of information. It lifted the block when the data had been given.",
        sources=(
            PressReport(
                "Global Voices",
                "2017-05-07",
                "https://globalvoices.org/2017/05/07/wechat-not-in-russia-you-dont/",
            ),
            PressReport(
                "Mobile World Live",
                "2017-05-11",
                "https://www.mobileworldlive.com/apps/news-apps/russia-lifts-wechat-ban/",
            ),
        ),
    ),
    ReportedBlock(
        service="linkedin",
        name="LinkedIn",
        country="RU",
        began="2016-11-17",
        ended=None,
        story="The Moscow City Court dismissed LinkedIn’s appeal on 10 November 2016: it kept "
        "personal data of Russian users outside Russia. The regulator, Roskomnadzor, entered it "
        "in its register a week later, and networks blocked it within about a day.",
        sources=(
            PressReport("TASS", "2016-11-10", "https://tass.com/economy/911595/amp"),
            PressReport(
                "Reuters",
                "2016-11-17",
                "http://uk.reuters.com/article/russia-linkedin-idUKL8N1DI1W4",
            ),
        ),
    ),
)
"""Newest first."""


def reported(*, service: str | None = None, country: str | None = None) -> list[ReportedBlock]:
    """The reported blocks of a service or in a country."""
    return [
        block
        for block in REPORTED
        if service in (None, block.service) and country in (None, block.country)
    ]
