# SPDX-License-Identifier: Apache-2.0
"""Whether a page that came in place of a site's is the network's own: block pages serve many names.

By itself such a page accuses nobody: services show others by region, ask for consent, or refuse
clients. It counts as a failure where hosts of another company show the same page in the same
network, and nobody in another country gets it. A content network that refuses some countries looks
the same until others are heard of, and somebody who writes a notice into whatever is asked in clear
text, for a while: so meanwhile another host must show its right page there, and sites must have
been visited in other countries; or the page must have come for a day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.events.imported.neighbours import company_of, place_of, sign_of, with_sign
from monitor.detection.events.imported.suspicions import alarmed
from monitor.detection.events.state import (
    ImportedRuns,
    NetworkSign,
    ServiceState,
    TargetNetwork,
    network_key,
)
from monitor.detection.layers.imported_run import OTHER_PAGES
from monitor.detection.model import OWN_SOURCE, ClosedGate, Fact, State
from monitor.detection.observed.page_in_place import SAME
from monitor.detection.policy import Policy
from probes.wire.measurement import service_of

_COUNTRIES = 2
"""Other countries in which sites must have been visited: in one, nobody may use that content
network."""


def weighed(state: ServiceState, facts: Sequence[Fact], policy: Policy) -> Sequence[Fact]:
    """The facts of a round, in which no page counts as a failure that may be the service's own."""
    return [
        fact
        if fact.verdict.rule not in OTHER_PAGES
        or _is_the_networks(state, fact, policy)
        or _has_counted(state, fact)
        else replace(fact, verdict=replace(fact.verdict, state=State.INSUFFICIENT))
        for fact in facts
    ]


def _has_counted(state: ServiceState, fact: Fact) -> bool:
    """Whether such pages have alarmed the network: what speaks against that later closes a gate."""
    network = state.networks.get(network_key(fact.target, fact.country, fact.asn, fact.source))
    return network is not None and any(
        not OTHER_PAGES.isdisjoint(held.rules) for _, held in alarmed(network)
    )


def inhibitions(
    state: ServiceState, touched: Collection[str], round: int, policy: Policy
) -> dict[str, ClosedGate]:
    """`service_down` for the touched networks whose page is got in other countries as well."""
    shown = [state.networks[key] for key in touched]
    pages = _pages(state, policy) if any(_page_of(network, round) for network in shown) else ()
    return {
        key: ClosedGate.SERVICE_DOWN
        for key, network in zip(touched, shown, strict=True)
        if any(
            sign.page == _page_of(network, round) and sign.country != network.country
            for sign in pages
        )
    }


def _page_of(network: TargetNetwork, round: int) -> str:
    """The page that came in place of the site's in a round; empty when none did."""
    mark, _, last = network.runs.other_page if network.runs is not None else ("", 0, 0)
    return mark if last == round else ""


def noted(runs: ImportedRuns, fact: Fact) -> ImportedRuns:
    """With the page that a run got in clear text."""
    mark = fact.verdict.page
    if mark == SAME:
        return replace(runs, right_page=fact.round)
    before, first, _ = runs.other_page
    return replace(runs, other_page=(mark, first if mark == before else fact.round, fact.round))


def _is_the_networks(state: ServiceState, fact: Fact, policy: Policy) -> bool:
    mark = fact.verdict.page
    if not mark:
        return False
    signs = [sign for sign in _pages(state, policy) if sign.source == fact.source]
    shown = [sign for sign in signs if sign.page == mark]
    if any(sign.country != fact.country for sign in shown):
        return False
    here = [sign for sign in shown if sign.asn == fact.asn]
    mine = company_of(service_of(fact.target))
    if all(company_of(service_of(sign.target)) == mine for sign in here):
        return False
    first = min(sign.failing for sign in here)
    if fact.round - first >= policy.ms(policy.imported.imported_always_seconds):
        return True
    told = _remembered(policy) + policy.ms(policy.imported.imported_together_seconds)
    since = [sign for sign in signs if sign.until - told >= first]
    right = any(sign.page == SAME and place_of(sign) == place_of(here[0]) for sign in since)
    abroad = {sign.country for sign in since} - {fact.country}
    return right and len(abroad) >= _COUNTRIES


def _pages(state: ServiceState, policy: Policy) -> Sequence[NetworkSign]:
    """What networks show in clear text: at hosts of other services, and at this one's."""
    signs = [sign for sign in state.heard if sign.page]
    for network in state.networks.values():
        if network.source != OWN_SOURCE and network.runs is not None:
            signs += (
                *_other(network, network.runs, policy),
                *_right(network, network.runs, policy),
            )
    return [sign for sign in signs if sign.until > state.round]


def _other(network: TargetNetwork, runs: ImportedRuns, policy: Policy) -> Sequence[NetworkSign]:
    """What the latest page in place of a site's tells, if there was one."""
    mark, first, last = runs.other_page
    if not mark:
        return ()
    sign = sign_of(network, "", last, _remembered(policy), policy)
    return (replace(sign, page=mark, failing=first),)


def _right(network: TargetNetwork, runs: ImportedRuns, policy: Policy) -> Sequence[NetworkSign]:
    """What the latest right page tells, if there was one."""
    if not runs.right_page:
        return ()
    sign = sign_of(network, "", runs.right_page, _remembered(policy), policy)
    return (replace(sign, page=SAME),)


def _remembered(policy: Policy) -> int:
    return policy.ms(policy.imported.imported_faults_seconds)


def tell(
    state: ServiceState,
    touched: Mapping[str, TargetNetwork],
    told: tuple[NetworkSign, ...],
    round: int,
    policy: Policy,
) -> tuple[NetworkSign, ...]:
    """What the service has told, with the pages of a round. Right pages are told only where another
    one is known of."""
    for _, network in sorted(touched.items()):
        runs = network.runs
        if runs is None:
            continue
        signs = _other(network, runs, policy) if runs.other_page[2] == round else ()
        if runs.right_page == round and _is_watched(state, told, network):
            signs = (*signs, *_right(network, runs, policy))
        for sign in signs:
            told = with_sign(told, network, sign, round, policy, sign.about)
    return told


def _is_watched(state: ServiceState, told: Sequence[NetworkSign], network: TargetNetwork) -> bool:
    """Whether another page than a site's is known of in a network."""
    place = place_of(network)
    return any(sign.page and place_of(sign) == place for sign in (*state.heard, *told))
