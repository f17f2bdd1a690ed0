# SPDX-License-Identifier: Apache-2.0
"""Expressions that several rules share, and pieces of the texts that ask Prometheus.

Every web server over one store shows the same series, so nothing is ever summed over
instances: first the maximum of each, then sums.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alerts.alert import Recording, duration, format_duration, milliseconds
from monitor.detection.policy import AlertingPolicy, Policy
from monitor.metrics import families

CONFIDENCE = f"event:{families.EVENT_CONFIDENCE.name}:held"
ONSET = f"event:{families.EVENT_ONSET.name}:held"
VOTES = f"event:{families.EVENT_VANTAGES.name}:held"
SCOPE = f"event:{families.EVENT_NETWORKS.name}:held"
WITNESSES = f"event:{families.EVENT_WITNESSES.name}:held"
FUNCTIONS = f"event:{families.EVENT_FUNCTIONS.name}:held"
ENDED = f"event:{families.EVENT_ENDED.name}:held"
SERVICE_NAMES = f"service:{families.SERVICE_INFO.name}:held"
COUNTRY_NAMES = f"country:{families.COUNTRY_INFO.name}:held"
ONLINE_BY_COUNTRY = f"country:{families.VANTAGES.name}:online"
ONLINE_RATIO = f"country:{families.VANTAGES.name}:online_ratio"
ONLINE = f"all:{families.VANTAGES.name}:online"
NETWORKS = "service_country:reachwatch_block_event_networks:count"
OWNERS = f"country:{families.OWNERS.name}:held"
DOWN_RATIO = f"service:{families.SERVICE_TARGETS.name}:down_ratio"
DOWN_NETWORKS = f"service:{families.TARGET_STATE.name}:down_networks"
UNTOLD = "event:reachwatch_block_event:untold"
"""Events of which nobody is told: those of others' measurements, unless tickets for them are asked
for and none of our vantages shows the same block."""
REPORTED = f'({CONFIDENCE}{{tier=~"likely|confirmed"}} unless on (event_id) {UNTOLD})'
"""Open events that somebody may have been told of."""
PAGED = "event:reachwatch_block_event:paged"
"""Events that were sure enough for a page once, until they end."""
EVENT = "service, country, event_id"
"""The labels that an alert about an event has."""
_MONITOR = f"group({families.BUILD.name})"


def keep_while_down(record: str, now: str) -> Recording:
    """A series that keeps its last form while no monitor shows anything: an event has not ended
    because the monitor died. It ends as soon as a monitor is back and does not show it."""
    return Recording(name=record, expr=f"{now} or ({record} unless on () {_MONITOR})")


def paged(policy: AlertingPolicy) -> Recording:
    """Confirmed events that are, or were while they were confirmed, as sure as a page asks for:
    when half of the vantages go to bed, an event is no other one in the morning."""
    confirmed = f'max by ({EVENT}) ({CONFIDENCE}{{tier="confirmed"}})'
    enough = f"{policy.page_per_mille / 1000:g}"
    return Recording(
        name=PAGED,
        expr=f"{confirmed} >= {enough} or ({confirmed} and on ({EVENT}) {PAGED})",
    )


def _untold(policy: AlertingPolicy) -> Recording:
    of_others = f'{WITNESSES}{{role="rests_on", source!="own"}}'
    shown_by_ours = f' and on (event_id) {WITNESSES}{{role="too", source="own"}}'
    return Recording(name=UNTOLD, expr=of_others + (shown_by_ours if policy.import_tickets else ""))


def recordings(policy: AlertingPolicy) -> Sequence[Recording]:
    """Series that several alerts, their texts and dashboards share, in the order of use."""
    vantages = f"max by (country, status) ({families.VANTAGES.name}{{%s}})"
    all_of = vantages % 'role="vantage"'
    online = vantages % 'role="vantage", status="online"'
    settled = f'{families.SERVICE_TARGETS.name}{{state!~"insufficient|vantage_offline"}}'
    down = f'{families.SERVICE_TARGETS.name}{{state="down"}}'
    return (
        keep_while_down(CONFIDENCE, _largest(families.EVENT_CONFIDENCE)),
        keep_while_down(ONSET, _largest(families.EVENT_ONSET)),
        keep_while_down(VOTES, _largest(families.EVENT_VANTAGES)),
        keep_while_down(SCOPE, _largest(families.EVENT_NETWORKS)),
        keep_while_down(FUNCTIONS, _largest(families.EVENT_FUNCTIONS)),
        keep_while_down(WITNESSES, _largest(families.EVENT_WITNESSES)),
        _untold(policy),
        paged(policy),
        # Held as well, so that a restart of the monitor does not tell an end twice.
        keep_while_down(ENDED, _largest(families.EVENT_ENDED)),
        keep_while_down(SERVICE_NAMES, _largest(families.SERVICE_INFO)),
        keep_while_down(COUNTRY_NAMES, _largest(families.COUNTRY_INFO)),
        keep_while_down(
            ONLINE_BY_COUNTRY,
            f"sum by (country) ({online}) or 0 * sum by (country) ({all_of})",
        ),
        Recording(name=ONLINE_RATIO, expr=f"{ONLINE_BY_COUNTRY} / sum by (country) ({all_of})"),
        Recording(
            name=ONLINE,
            expr=f"sum(max by (country, role) ({families.VANTAGES.name}"
            f'{{status="online"}})) or 0 * sum({families.VANTAGES.name})',
        ),
        Recording(
            name=NETWORKS,
            expr=f"count by (service, country) (count by (service, country, asn) ({REPORTED}))",
        ),
        # What explains a block away is held like the block itself.
        keep_while_down(OWNERS, _largest(families.OWNERS)),
        keep_while_down(
            DOWN_RATIO,
            f"max by (service) ({down}) "
            f"/ (sum by (service) (max by (service, state) ({settled})) > 0)",
        ),
        keep_while_down(
            DOWN_NETWORKS,
            "count by (service) (count by (service, country, asn) "
            f'({families.TARGET_STATE.name}{{state="down"}}))',
        ),
    )


def window(policy: Policy) -> str:
    """Over which a counter's rise is looked for: several scrapes at any pace."""
    return format_duration(
        max(
            policy.ms(policy.rounds.silent_seconds),
            4 * milliseconds(policy, policy.alerting.watch_seconds),
        )
    )


def ingest_stalled(policy: Policy) -> str:
    """Nothing was stored for so long that no fleet is silent by chance: a few probes that measure
    every half hour leave gaps that the probes of a large fleet do not."""
    rise = f"max(increase({families.INGESTED.name}[{{}}]))"
    short = duration(policy, policy.rounds.silent_seconds)
    before = duration(policy, policy.fleet.steady_seconds)
    steady = f"{rise.format(short)}[{before}:{short}] offset {short}"
    most = policy.fleet.steady_seconds // policy.rounds.silent_seconds
    long = duration(policy, policy.fleet.quiet_seconds)
    return (
        f"({rise.format(long)} == 0 and max({families.INGESTED.name} offset {long})) or "
        f"({rise.format(short)} == 0 and min_over_time({steady}) > 0 "
        f"and count_over_time({steady}) >= {most - 1})"
    )


def counter_rise(policy: Policy, transition: str) -> str:
    """Where a positive transition was counted lately, by service and country.

    The counters are computed from the store: they are there from 0, start at what they were
    after a restart, and never fall. So a first scrape is no rise. What was counted while nobody
    scraped is seen by comparison with the last scrape before. Only a store that was put back
    to an older copy lets them fall; that is no transition.
    """
    counter = f'{families.EVENTS.name}{{transition="{transition}"}}'
    lately, memory = window(policy), duration(policy, policy.fleet.outage_memory_seconds)
    seen = f"increase({counter}[{lately}]) > 0 unless resets({counter}[{lately}]) > 0"
    before = f"max_over_time({counter}[{memory}] offset {lately})"
    return (
        f"max by (service, country) ({seen}) or (max by (service, country) ({counter}) "
        f"- max by (service, country) ({before}) > 0)"
    )


def ended(transition: str) -> str:
    """Events whose end was published lately and of which somebody may have been told."""
    return (
        f"max by (service, country, event_id) "
        f'({ENDED}{{transition="{transition}", tier!="unconfirmed"}} '
        f"unless on (event_id) {UNTOLD})"
    )


def transition(policy: Policy, name: str) -> str:
    """`ended`, or where the event itself cannot be shown (it ended while no monitor was there,
    or history was judged anew), the counter's word, unless an event is open there now."""
    shown = f'{ENDED}{{transition="{name}"}}'
    return (
        f"{ended(name)} or (({counter_rise(policy, name)}) unless on (service, country) {shown} "
        f"unless on (service, country) {REPORTED})"
    )


def _largest(metric: families.MetricFamily) -> str:
    return f"max by ({', '.join(metric.labels)}) ({metric.name})"


def _list_samples(expr: str, text: str, label: str = "kind") -> str:
    """`text` for every sample of a query about the alert's own event, in the order of a label,
    with commas in between; `expr` holds one `%q`, where the event's id goes. Nothing when there
    is no sample."""
    query = f"sortByLabel `{label}` (query (printf `{expr}` $labels.event_id))"
    between = "{{ if $i }}, {{ end }}"
    return f"{{{{ range $i, $each := {query} }}}}{between}{{{{ {text} }}}}{{{{ end }}}}"


_AT = '.UTC.Format "2006-01-02 15:04 UTC"'


def _name(label: str, names: str) -> str:
    """The name of what a label of the alert names by its id; the id where none is recorded."""
    query = f"query (printf `{names}{{{label}=%q}}` $labels.{label})"
    named = f"{{{{ with $named := {query} }}}}{{{{ (index $named 0).Labels.name }}}}"
    return f"{named}{{{{ else }}}}{{{{ $labels.{label} }}}}{{{{ end }}}}"


SERVICE_TEXT = _name("service", SERVICE_NAMES)
COUNTRY_TEXT = _name("country", COUNTRY_NAMES)
_EVENT = f"{CONFIDENCE}{{event_id=%q}}"
NETWORKS_TEXT = _list_samples(f"count by (asn) ({_EVENT})", "printf `AS%s` $each.Labels.asn", "asn")
_OF_FUNCTIONS = f"max by (function) ({FUNCTIONS}{{event_id=%q}})"
FUNCTIONS_TEXT = (
    f"{{{{ with query (printf `{_OF_FUNCTIONS}` $labels.event_id) }}}} "
    f"({_list_samples(_OF_FUNCTIONS, '$each.Labels.function', 'function')}){{{{ end }}}}"
)
"""` (api, web)`; nothing where the event is not scraped."""
_BLOCKED, _MEASURED = (
    f'max({SCOPE}{{event_id=%q, kind="{kind}"}})' for kind in ("blocked", "measured")
)
SCOPE_TEXT = (
    f"{{{{ with query (printf `{_MEASURED}` $labels.event_id) }}}} "
    f"({_list_samples(_BLOCKED, '$each.Value')} of {_list_samples(_MEASURED, '$each.Value')} "
    "networks measured){{ end }}"
)
"""` (1 of 2 networks measured)`."""
TECHNIQUE_TEXT = _list_samples(
    f"count by (technique) ({_EVENT})", "or $each.Labels.technique `unknown`", "technique"
)
_SLOW = f'count({CONFIDENCE}{{event_id=%q, technique=~"throttle.+"}})'
EFFECT_TEXT = (
    f"{{{{ with query (printf `{_SLOW}` $labels.event_id) }}}}throttled"
    "{{ else }}blocked{{ end }}"
)
SINCE_TEXT = _list_samples(f"max({ONSET}{{event_id=%q}})", f"(toTime $each.Value){_AT}")
VANTAGES_TEXT = " of ".join(
    _list_samples(f'max({VOTES}{{event_id=%q, kind="{kind}"}})', "$each.Value")
    for kind in ("agreeing", "total")
)
ENDED_TEXT = f"{{{{ if $labels.event_id }}}}{{{{ (toTime $value){_AT} }}}}{{{{ end }}}}"
"""Texts about the alert's own event, as templates of Prometheus."""
