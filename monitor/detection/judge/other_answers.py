# SPDX-License-Identifier: Apache-2.0
"""Whether the name still leads to the addresses that failed: what other resolvers gave, asked from
the same vantage at the same time, and whether that works here.

A service that moves its servers changes the answers, and the old addresses die, while some
resolvers keep them for a while. Then the vantage's own resolver gives addresses that fail, and
others give addresses that work. A block of the service's addresses concerns all that the name leads
to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from monitor.detection.judge.elsewhere import WORKS, DialledAddress, ending
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import EndpointView, answers


class OtherAnswer(NamedTuple):
    """An endpoint of which the vantage's own resolver gave only addresses that fail, in one address
    family, and what others gave for it."""

    endpoint: str
    family: int
    works: bool
    """Another resolver gave an address that is reached here. Otherwise what others gave fails as
    well: the same addresses, or others."""


def other_answers(views: Mapping[str, EndpointView]) -> tuple[OtherAnswer, ...]:
    """Compare the answers, where others were asked and what they gave was tried. An address of the
    catalogue is built into the app, so nobody gives another one."""
    return tuple(
        OtherAnswer(id, over, works)
        for id, endpoint in views.items()
        for over in (4, 6)
        if (works := _other_works(endpoint, over)) is not None
    )


def _other_works(endpoint: EndpointView, over: int) -> bool | None:
    given = answers(endpoint.name.lookups.values())
    own, others = dict[str, str](), set[str]()
    for address in endpoint.addresses.values():
        if address.family != over or (ended := ending(endpoint, address)) is None:
            continue
        if not endpoint.ref.host or address.address in given:
            own[address.address] = ended
        else:
            others.add(ended)
    if not own or not WORKS.isdisjoint(own.values()):
        return None
    if not WORKS.isdisjoint(others):
        return True
    is_same = not own.keys().isdisjoint(answers(endpoint.name.references))
    return False if others or is_same or not endpoint.ref.host else None


def others_work(compared: Iterable[OtherAnswer], failed: Collection[DialledAddress]) -> bool | None:
    """Whether what other resolvers give works here for all endpoints of which addresses failed.
    False where it fails as well for one of them, None where nothing was compared."""
    of_failed = {(id, family(address)) for id, address in failed}
    works = [answer.works for answer in compared if answer[:2] in of_failed]
    return all(works) if works else None
