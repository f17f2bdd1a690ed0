# SPDX-License-Identifier: Apache-2.0
"""Every metric: name, kind, help and labels.

No label ever holds a probe id or text from the network; each label's values come from a list
of ours: the catalogue, ISO country codes, AS numbers seen from enrolled probes, verdict words.
"""

from __future__ import annotations

import msgspec


class MetricFamily(msgspec.Struct, frozen=True):
    """One metric. Counters are named here as they are exposed, with `_total`."""

    name: str
    kind: str
    """`gauge`, `counter` or `histogram`."""
    help: str
    labels: tuple[str, ...] = ()


EVENT_CONFIDENCE = MetricFamily(
    "reachwatch_block_event_confidence",
    "gauge",
    "Open block events: the probability that it is a block; without one 0.5 or 0.1 by tier.",
    ("service", "country", "asn", "technique", "tier", "event_id"),
)
SERVICE_INFO = MetricFamily(
    "reachwatch_service_info", "gauge", "1 for each service of the catalogue.", ("service", "name")
)
COUNTRY_INFO = MetricFamily(
    "reachwatch_country_info",
    "gauge",
    "1 for each country with a vantage or an event; the name as in a sentence.",
    ("country", "name"),
)
EVENT_ONSET = MetricFamily(
    "reachwatch_block_event_onset_timestamp_seconds",
    "gauge",
    "Since when a block event lasts, Unix time; for as long as the event is shown here at all.",
    ("event_id",),
)
EVENT_VANTAGES = MetricFamily(
    "reachwatch_block_event_vantages",
    "gauge",
    "Voting vantages in the networks of an open block event, and how many of them agree.",
    ("event_id", "kind"),
)
EVENT_NETWORKS = MetricFamily(
    "reachwatch_block_event_networks",
    "gauge",
    "Networks of an open event, and those of the country in which its targets are measured.",
    ("event_id", "kind"),
)
EVENT_WITNESSES = MetricFamily(
    "reachwatch_block_event_witnesses",
    "gauge",
    "Who shows a block event: vantages that agree (source own) or failed runs of an import (ooni); "
    "of the kind that the event rests on (role rests_on), and of others about the block (too).",
    ("event_id", "source", "role"),
)
EVENT_FUNCTIONS = MetricFamily(
    "reachwatch_block_event_functions",
    "gauge",
    "1 for each function of a block event that is open or ended recently.",
    ("event_id", "function"),
)
EVENT_ENDED = MetricFamily(
    "reachwatch_block_event_ended_timestamp_seconds",
    "gauge",
    "Block events whose end was published lately (the last of each place for six hours): "
    "the round in which they ended, Unix time.",
    ("service", "country", "event_id", "transition", "tier"),
)
EVENTS = MetricFamily(
    "reachwatch_block_events_total",
    "counter",
    "Transitions of block events, as first published.",
    ("service", "country", "transition"),
)
TARGET_STATE = MetricFamily(
    "reachwatch_target_state",
    "gauge",
    "1 for the present state of a target in a network, other than ok and insufficient.",
    ("service", "target", "country", "asn", "state"),
)
TARGETS = MetricFamily(
    "reachwatch_targets",
    "gauge",
    "Targets in networks by their present state.",
    ("state",),
)
SERVICE_TARGETS = MetricFamily(
    "reachwatch_service_targets",
    "gauge",
    "Targets of a service in networks by their present state.",
    ("service", "state"),
)
VANTAGES = MetricFamily(
    "reachwatch_vantages",
    "gauge",
    "Enrolled probes: online, silent or degraded.",
    ("country", "role", "status"),
)
VANTAGES_BY_WAY = MetricFamily(
    "reachwatch_vantages_by_way",
    "gauge",
    "Enrolled probes that are heard, by the kind of way to the monitor that they use: mqtts, wss, "
    "https, the same with proxy+, or unknown.",
    ("way",),
)
OWNERS = MetricFamily(
    "reachwatch_vantage_owners",
    "gauge",
    "People and bodies that run the enrolled vantages of a country.",
    ("country",),
)
ENROLLED = MetricFamily(
    "reachwatch_probes_enrolled_total", "counter", "Probes that have enrolled, of whichever owner."
)
ENROLMENTS_REFUSED = MetricFamily(
    "reachwatch_enrolments_refused_total",
    "counter",
    "Enrolments that this process refused, because too many came from one place within a day.",
)
PAGE_PROCESSES = MetricFamily(
    "reachwatch_page_processes",
    "gauge",
    "Other processes that make pages for this web server at the moment.",
)
PAGE_PROCESSES_ENDED = MetricFamily(
    "reachwatch_page_processes_ended_total",
    "counter",
    "Processes that made pages for this web server and ended by themselves.",
)
NETWORK_CONDITION = MetricFamily(
    "reachwatch_network_condition",
    "gauge",
    "1 for the condition of a network with vantages: ok, offline (they measured it), unheard (they "
    "stopped reporting) or unknown.",
    ("country", "asn", "condition"),
)
INGESTED = MetricFamily(
    "reachwatch_measurements_ingested_total", "counter", "Measurements stored for the first time."
)
DUPLICATE = MetricFamily(
    "reachwatch_measurements_duplicate_total",
    "counter",
    "Measurements that were sent again and were stored already.",
)
EXPIRED = MetricFamily(
    "reachwatch_measurements_expired_total",
    "counter",
    "Measurements of days that were dropped: not stored, as they may have been stored before.",
)
QUARANTINED = MetricFamily(
    "reachwatch_measurements_quarantined_total",
    "counter",
    "Lines and batches that were not admitted.",
    ("reason",),
)
INGEST_LAG = MetricFamily(
    "reachwatch_ingest_lag_seconds",
    "histogram",
    "From the end of a measurement to its commit in the store.",
)
DETECTION_LAG = MetricFamily(
    "reachwatch_detection_lag_seconds",
    "histogram",
    "From the end of a round to the commit of its conclusions.",
)
RETESTS = MetricFamily(
    "reachwatch_retests_asked_total",
    "counter",
    "Targets that networks were asked to measure again, since this process began; where it asks.",
)
LAST_RECEIVED = MetricFamily(
    "reachwatch_last_measurement_timestamp_seconds",
    "gauge",
    "When the newest measurement arrived, Unix time.",
)
NEWEST_ROUND = MetricFamily(
    "reachwatch_newest_round_timestamp_seconds",
    "gauge",
    "The newest round of the measurements that arrived last, Unix time. It is old where old "
    "measurements were imported.",
)
LAST_CONCLUDED = MetricFamily(
    "reachwatch_last_concluded_round_timestamp_seconds",
    "gauge",
    "The newest round that the detector has judged, Unix time.",
)
BACKLOG_MEASUREMENTS = MetricFamily(
    "reachwatch_detector_backlog_measurements",
    "gauge",
    "Measurements of rounds that are over and that the detector has not judged yet.",
)
BACKLOG_SECONDS = MetricFamily(
    "reachwatch_detector_backlog_seconds",
    "gauge",
    "How long ago the oldest round ended that the detector has yet to judge, or to judge again "
    "for late measurements; 0 when there is none.",
)
DAMAGED_BATCHES = MetricFamily(
    "reachwatch_detector_damaged_batches_total",
    "counter",
    "Stored batches that the detector could not unpack and left out.",
)
FOLLOW_LAG = MetricFamily(
    "reachwatch_follow_lag_seconds",
    "gauge",
    "How long ago the last hour was over of which everything that a public source published is "
    "stored; of sources that are followed.",
    ("source",),
)
FOLLOW_RUNS = MetricFamily(
    "reachwatch_follow_runs_total",
    "counter",
    "Runs read from a public source, each once.",
    ("source",),
)
FOLLOW_FAILURES = MetricFamily(
    "reachwatch_follow_failures_total",
    "counter",
    "Requests to a public source that had to be repeated, and files or lines that cannot be read.",
    ("source", "reason"),
)
WEBHOOK_WAITING = MetricFamily(
    "reachwatch_webhook_waiting_seconds",
    "gauge",
    "How long the receivers at a host have not accepted a change; 0 when they have all.",
    ("host",),
)
BUILD = MetricFamily(
    "reachwatch_build_info", "gauge", "Always 1; what is running.", ("version", "python")
)

TRANSITIONS = ("opened", "confirmed", "closed", "retracted")
