# SPDX-License-Identifier: Apache-2.0
"""Alerts about services: what is blocked, what is blocked no more, and what explains it away.

A page about blocking comes from a confirmed event only, and only once its confidence has reached
what the policy asks of a page; what has not is a ticket. An alert's identity is the event's:
service, country and id. Networks, technique and votes change while an event lasts, so they are
in the text and not in the labels; a change of them tells nobody twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alerts import promql
from monitor.alerts.alert import Alert
from monitor.detection.policy import Policy

SPREADING_NETWORKS = 3
NOT_UNBLOCKED = (
    "No longer firing. This does not mean that the service is reachable again: ServiceUnblocked "
    "reports that in a separate message."
)
_EVENT_ANNOTATIONS = {
    "networks": promql.NETWORKS_TEXT,
    "technique": promql.TECHNIQUE_TEXT,
    "since": promql.SINCE_TEXT,
    "vantages": promql.VANTAGES_TEXT,
    "when_resolved": NOT_UNBLOCKED,
}
_SEEN = (
    f"Seen by {promql.VANTAGES_TEXT} vantages in {promql.NETWORKS_TEXT}"
    f"{promql.SCOPE_TEXT} since {promql.SINCE_TEXT}. "
    f"How: {promql.TECHNIQUE_TEXT}."
)
_ID = f"max by ({promql.EVENT})"


def alerts(policy: Policy) -> Sequence[Alert]:
    """Those that wake people first."""
    return (*_blocks(policy), *_closings(policy), *_explanations(policy))


def _blocks(policy: Policy) -> Sequence[Alert]:
    return (
        Alert(
            name="ServiceBlockConfirmed",
            kind="block",
            expr=f'{_ID} ({promql.CONFIDENCE}{{tier="confirmed"}}) > 0 '
            f"and on ({promql.EVENT}) {promql.PAGED}",
            severity="page",
            # A gate that comes and goes, or a scrape that misses the event, is no news, and a block
            # that pauses wakes people once. ServiceUnblocked tells its end at once.
            keep_seconds=policy.alerting.page_keep_seconds,
            summary=f"{promql.SERVICE_TEXT}{promql.FUNCTIONS_TEXT} is "
            f"{promql.EFFECT_TEXT} in {promql.COUNTRY_TEXT} ({promql.NETWORKS_TEXT}): "
            f"{promql.TECHNIQUE_TEXT}",
            description=f"{_SEEN} Vantages of several owners agree, "
            "and the control reaches the service."
            # 1 stands for "confirmed" where there is no figure.
            "{{ if lt $value 1.0 }} Confidence: {{ $value | humanizePercentage }}.{{ end }}",
            first="Open the event's page, read the evidence against it and two witnesses of "
            "different owners; then inform the people who follow this service or country.",
            link="/e/{{ $labels.event_id }}",
            more=_EVENT_ANNOTATIONS,
        ),
        Alert(
            name="ServiceBlockLikely",
            kind="block",
            # Confirmed but not sure enough to wake anybody is a ticket as well.
            expr=f"{_ID} ({promql.REPORTED}) > 0 unless on ({promql.EVENT}) {promql.PAGED}",
            severity="ticket",
            seconds=policy.alerting.likely_hold_seconds,
            keep_seconds=policy.alerting.trouble_hold_seconds,
            summary=f"{promql.SERVICE_TEXT}{promql.FUNCTIONS_TEXT} is likely "
            f"{promql.EFFECT_TEXT} in {promql.COUNTRY_TEXT} ({promql.NETWORKS_TEXT}): "
            f"{promql.TECHNIQUE_TEXT}",
            description=f"{_SEEN} Not certain enough to page anybody: there may still be "
            "another cause.",
            first="Nothing at night. The event's page says what is missing for a confirmation.",
            link="/e/{{ $labels.event_id }}",
            more=_EVENT_ANNOTATIONS,
        ),
        Alert(
            name="BlockSpreading",
            kind="block",
            expr=f"{promql.NETWORKS} >= {SPREADING_NETWORKS}",
            severity="ticket",
            seconds=policy.alerting.trouble_hold_seconds,
            keep_seconds=policy.rounds.silent_seconds,
            summary=f"{promql.SERVICE_TEXT} is blocked, or likely is, in {{{{ $value }}}} networks "
            f"of {promql.COUNTRY_TEXT}",
            description="A block is likely or confirmed in several networks at once, which "
            "suggests an order to all providers. Only ServiceBlockConfirmed pages about it.",
            first="Compare the techniques and onsets of the networks on the service's page.",
            link="/s/{{ $labels.service }}",
            more={"when_resolved": NOT_UNBLOCKED},
        ),
    )


def _closings(policy: Policy) -> Sequence[Alert]:
    place = f"{promql.SERVICE_TEXT} in {promql.COUNTRY_TEXT}"
    link = "/{{ if $labels.event_id }}e/{{ $labels.event_id }}{{ else }}s/{{ $labels.service }}"
    more = {"since": promql.SINCE_TEXT, "until": promql.ENDED_TEXT}
    return (
        Alert(
            name="ServiceUnblocked",
            kind="closing",
            expr=f"({promql.transition(policy, 'closed')}) "
            f"unless on (service, country) {promql.REPORTED}",
            severity="info",
            summary=f"{promql.SERVICE_TEXT}{promql.FUNCTIONS_TEXT} is reachable again in "
            f"{promql.COUNTRY_TEXT}",
            description=f"The block of {place} has ended: affected vantages can reach it again. "
            "{{ if $labels.event_id }}"
            f"It lasted from {promql.SINCE_TEXT} to {promql.ENDED_TEXT}."
            "{{ else }}It ended while no monitor was scraped.{{ end }}",
            first="Inform everybody whom you told about the block.",
            link=link + "{{ end }}",
            more=more,
        ),
        Alert(
            name="BlockRetracted",
            kind="closing",
            expr=promql.transition(policy, "retracted"),
            severity="info",
            summary=f"Retracted: {promql.SERVICE_TEXT}{promql.FUNCTIONS_TEXT} was not blocked in "
            f"{promql.COUNTRY_TEXT}",
            description=f"The event about {place} was wrong and is retracted. The event's page "
            "says why.",
            first="Inform everybody whom you told about it; the event's page gives the reason.",
            link=link + "{{ end }}",
            more=more,
        ),
    )


def _explanations(policy: Policy) -> Sequence[Alert]:
    online = promql.ONLINE_BY_COUNTRY
    week = f"{policy.ms(policy.fleet.expected_vantages_seconds)}ms"
    best = f"max_over_time({online}[{week}])"
    return (
        Alert(
            name="ServiceDownGlobally",
            kind="service",
            expr=f"{promql.DOWN_RATIO} >= {policy.alerting.down_per_mille / 1000:g} "
            f"and {promql.DOWN_NETWORKS} >= {policy.gates.elsewhere_min_networks}",
            severity="info",
            # At once: it has to be there before what it inhibits.
            keep_seconds=policy.alerting.trouble_hold_seconds,
            summary=f"{promql.SERVICE_TEXT} is down: it fails from the control too",
            description="The service itself is down. While this lasts, no event about it opens "
            "and nobody is paged for it.",
            first="Nothing, unless the service works for you; then check the control.",
            link="/s/{{ $labels.service }}",
        ),
        Alert(
            name="CountryDark",
            kind="country",
            expr=f"{online} <= {1 - policy.gates.dark_per_mille / 1000:g} * {best} "
            f"and {best} >= {policy.gates.country_min_vantages} "
            f"unless on (country) {promql.OWNERS} < {policy.gates.country_min_owners}",
            severity="page",
            seconds=policy.alerting.likely_hold_seconds,
            keep_seconds=policy.alerting.trouble_hold_seconds,
            summary=f"In {promql.COUNTRY_TEXT} only {{{{ $value }}}} vantages are online",
            description="Nearly all vantages of the country are silent: an outage, or a blocked "
            "path to the broker. Services there cannot be measured meanwhile.",
            first="Check whether other countries are silent too: then the monitor has a problem. "
            "Otherwise look at outage trackers for this country.",
            link="/c/{{ $labels.country }}",
        ),
    )
