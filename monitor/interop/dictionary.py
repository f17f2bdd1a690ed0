# SPDX-License-Identifier: Apache-2.0
"""What each column of the API's lists and of the exported files means. A test compares the tables
with the code: a column without its line fails.

`reachwatch schema --markdown` prints them after the fields of the wire format; /data/dictionary
shows them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from probes.wire.dictionary import dictionary as wire_dictionary

_SERVICE = "Id of the service in the catalogue, such as `wechat`."
_TARGET = "Function of a service, such as `wechat/messaging`."
_COUNTRY = "ISO 3166-1 alpha-2 code of the country; `ZZ` if unknown."
_ASN = "Number of the network (autonomous system); 0 if unknown."
_TECHNIQUE = "How, such as `tls.reset.sni`: the deepest cause that the evidence supports, or empty."
_STATE = "State, such as `ok`, `blocked` or `inconclusive`; `insufficient` is never ok."
_RULE = "Id of the rule that decided."
_LAYER = "`dns`, `tcp`, `tls`, `quic`, `udp`, `http`, `app` or empty."
_ROUND = "Begin of the round, RFC 3339, UTC."
_OPEN = "Ids of the open events there."


class ColumnTable(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one list or file."""

    id: str
    title: str
    about: str
    columns: Mapping[str, str]
    """Name to meaning, in order."""


_EVENT = {
    "id": "Id of the event: a hash of service, country and first alarmed round.",
    "service": _SERVICE,
    "targets": "Functions of the service that are affected.",
    "country": _COUNTRY,
    "asns": "Networks in which it is seen.",
    "technique": _TECHNIQUE,
    "extent": "`full` or `partial`: some endpoints or addresses still work.",
    "state": "`open`, `clearing` (reachable again, not yet closed), `closed` or `retracted`.",
    "tier": "`unconfirmed` (one vantage), `likely` (a quorum) or `confirmed` (two owners, held).",
    "onset": "Best estimate of when it began: the begin of a round.",
    "onset_earliest": "It did not begin before.",
    "onset_latest": "It had begun by then.",
    "opened": "Round of the first alarm.",
    "confirmed": "Round of the confirmation; empty before.",
    "closed": "Round in which affected vantages reached the service again; empty before.",
    "confidence": "Calibrated probability (0 to 1) that it is a block; empty until calibrated.",
    "vantages.agreeing": "Vantages whose evidence stands.",
    "vantages.total": "Vantages that may vote in the affected networks.",
    "scope.functions": "The functions, without the service.",
    "scope.networks.blocked": "Networks in which it is seen.",
    "scope.networks.watched": "Networks of the country that measure the service.",
    "scope.vantages.peak": "Agreeing of voting vantages when most agreed, as `3/3`.",
    "scope.vantages.now": "The same for the newest round.",
    "control": "`ok`: the control reached the service; `none`: there was no control.",
    "rule_counts": "How often each rule decided a failure of the event.",
    "witnesses": "Ids of measurements that the event rests on.",
    "inhibited_by": "What keeps the event from being reported, such as `service_down`, or empty.",
    "source": "`probe` for this fleet's own, or where the measurements were imported from.",
    "policy.name": "Name of the set of durations and thresholds.",
    "policy.pace": "All durations of the policy are divided by this; 1 outside demonstrations.",
    "rules_version": "Version of the rules.",
    "catalogue_version": "Version of the catalogue.",
    "history": "Changes of the event: round, kind and remark of each.",
    "notes": "What the operator noted: time, kind (`note` or `retraction`), text and source.",
}
_PLACE = {
    "networks": "Networks with a vantage.",
    "owners": "Owners of vantages.",
    "vantages.online": "Vantages that reported recently.",
    "vantages.total": "Vantages that are enrolled.",
    "open_events": _OPEN,
}
_PRESENT = {
    "target": _TARGET,
    "country": _COUNTRY,
    "asn": _ASN,
    "state": _STATE,
    "technique": _TECHNIQUE,
    "rule": _RULE,
    "vantages.agreeing": "Vantages that see this state.",
    "vantages.total": "Vantages that measured the target recently.",
    "round": _ROUND,
}
_VERDICT = {
    "state": _STATE,
    "layer": _LAYER,
    "technique": _TECHNIQUE,
    "rule": _RULE,
    "endpoints.total": "Endpoints of the target that were measured.",
    "endpoints.failed": "Those of which no address works.",
    "addresses.total": "Addresses that were measured.",
    "addresses.failed": "Those that do not work.",
    "evidence": "Remarks on the verdict, such as `no_control`.",
}
API: tuple[ColumnTable, ...] = (
    ColumnTable(
        id="events",
        title="Events",
        about="`/api/v1/events`: one row a block event. One event by its id has `networks` (what "
        "each network contributes) and `against` (reasons for doubt) as well.",
        columns=_EVENT,
    ),
    ColumnTable(
        id="services",
        title="Services",
        about="`/api/v1/services`: one object a service. In CSV a service has one row for each of "
        "its present states, or one with empty `states` columns.",
        columns={
            "id": _SERVICE,
            "name": "Name of the service.",
            "targets": "The functions of the service in the catalogue.",
            "open_events": "Ids of the open events of the service.",
            "states_total": "How many present states there are, listed or not.",
            **{f"states.{name}": meaning for name, meaning in _PRESENT.items()},
        },
    ),
    ColumnTable(
        id="countries",
        title="Countries",
        about="`/api/v1/countries`: one row a country with a vantage.",
        columns={"country": _COUNTRY, **_PLACE},
    ),
    ColumnTable(
        id="networks",
        title="Networks",
        about="`/api/v1/networks`: one row a network with a vantage.",
        columns={"country": _COUNTRY, "asn": _ASN, "name": "Name of the network.", **_PLACE},
    ),
    ColumnTable(
        id="vantages",
        title="Vantages",
        about="`/api/v1/vantages`: one row an enrolled probe. Never an address.",
        columns={
            "id": "Pseudonym of the probe: `p-` and 16 hex digits.",
            "owner": "Pseudonym of its owner: `o-` and 8 hex digits.",
            "role": "`vantage` or `control`.",
            "country": _COUNTRY,
            "asn": _ASN,
            "enrolled": "When it enrolled, RFC 3339, UTC.",
            "last_seen": "When it last reported; empty if never.",
            "status": "`online`, `silent`, `degraded` (offline for its own reasons, or with a "
            "wrong clock) or `revoked`.",
            "watch": "Targets that it has failed for long while others of its network reach them.",
        },
    ),
    ColumnTable(
        id="measurements",
        title="Measurements",
        about="`/api/v1/measurements`: one row a judged measurement. One measurement by its id is "
        "the line that the probe sent: see the wire format.",
        columns={
            "id": "Id of the measurement: 32 hex digits.",
            "target": _TARGET,
            "country": _COUNTRY,
            "asn": _ASN,
            "vantage": "Pseudonym of the probe.",
            "round": _ROUND,
            **_VERDICT,
        },
    ),
    ColumnTable(
        id="timeline",
        title="Timeline",
        about="`/api/v1/timeline`: one row an hour (a day, where hours were summed up), target, "
        "network, state and technique.",
        columns={
            "hour": "Begin of the hour, RFC 3339, UTC.",
            "target": _TARGET,
            "country": _COUNTRY,
            "asn": _ASN,
            "state": _STATE,
            "layer": _LAYER,
            "technique": _TECHNIQUE,
            "measurements": "Number of measurements.",
            "vantages": "Number of vantages that made them.",
            "hours": "Hours that the row covers: 1, or 24 where hours were summed up.",
        },
    ),
    ColumnTable(
        id="timeline_by_network",
        title="Timeline by network",
        about="`/api/v1/timeline?by=network`: one row a day, service and country. Built on "
        "confirmed events, so that no threshold has to be invented.",
        columns={
            "day": "Begin of the day, RFC 3339, UTC.",
            "service": _SERVICE,
            "country": _COUNTRY,
            "networks.blocked": "Networks in which a confirmed event was open at some time.",
            "networks.watched": "Networks that measured the service that day.",
            "share": "`networks.blocked` divided by `networks.watched`; empty without either.",
            "asns": "The networks in which a confirmed event was open.",
        },
    ),
)
_ARCHIVED = {
    "received": "When the monitor received it.",
    "round": "Begin of the round.",
    "started": "Start of the first step, by the probe's clock.",
    "id": "Id of the measurement.",
    "probe": "Pseudonym of the probe.",
    "owner": "Pseudonym of its owner.",
    "role": "`vantage` or `control`.",
    "source": "`probe`, or where it was imported from.",
    "target": _TARGET,
    "service": _SERVICE,
    "country": _COUNTRY,
    "arrival": "Position in the order of arrival.",
    "enrolled": "When the probe enrolled, Unix ms.",
    "asn": _ASN,
    "interval_ms": "Interval between rounds, ms.",
    "state": _STATE,
    "layer": _LAYER,
    "technique": _TECHNIQUE,
    "rule": _RULE,
    "verdict": "The verdict as in the API, JSON.",
    "line": "The measurement as the probe sent it, JSON: see the wire format.",
    "raw": "The same as bytes, where it is not UTF-8.",
}
_DNS = "Of a DNS answer: "
_TLS = "Of a TLS handshake: "
_HTTP = "Of an HTTP request: "
_EMPTY = "Always empty: these rows hold facts, not owners of addresses or conclusions."
_OBSERVATION = {
    "report_id": "OONI's id of a report; here one a measurement.",
    "input": _TARGET,
    "test_name": "`reachwatch`.",
    "test_version": "Version of the wire format.",
    "measurement_uid": "OONI's form of an id: time, country, test, and 16 digits of our id.",
    "probe_cc": _COUNTRY,
    "probe_asn": _ASN,
    "probe_as_org_name": _EMPTY,
    "probe_as_cc": _EMPTY,
    "network_type": "`unknown`.",
    "measurement_start_time": "Start of the measurement, UTC.",
    "hostname": "Name of the host; empty where the app dials an address.",
    "ip": "Address that was dialled or answered.",
    "port": "Port that was dialled.",
    "ip_asn": _EMPTY,
    "ip_as_org_name": _EMPTY,
    "resolver_ip": _EMPTY,
    "resolver_cc": _EMPTY,
    "resolver_asn": "Number of the resolver's network; 0 if unknown.",
    "resolver_as_org_name": _EMPTY,
    "resolver_as_cc": _EMPTY,
    "dns_engine": _DNS + "`system`, or the transport to another resolver.",
    "dns_failure": _DNS + "OONI's failure, or empty.",
    "dns_answer": _DNS + "one address.",
    "tcp_success": "Of a TCP connect: `1` or `0`.",
    "tcp_failure": "Of a TCP connect: OONI's failure, or empty.",
    "tls_handshake_time": _TLS + "seconds.",
    "tls_handshake_read_count": _EMPTY,
    "tls_handshake_write_count": _EMPTY,
    "tls_handshake_read_bytes": _TLS + "bytes received.",
    "tls_handshake_write_bytes": _TLS + "bytes sent.",
    "tls_handshake_last_operation": _EMPTY,
    "tls_success": _TLS + "`1` or `0`.",
    "tls_is_certificate_valid": _TLS + "`1` or `0`; empty when no certificate was seen.",
    "tls_end_entity_certificate_subject": _EMPTY,
    "tls_end_entity_certificate_subject_common_name": _EMPTY,
    "tls_end_entity_certificate_issuer": _EMPTY,
    "tls_end_entity_certificate_issuer_common_name": _EMPTY,
    "tls_end_entity_certificate_san_list": _EMPTY,
    "tls_end_entity_certificate_not_valid_after": _EMPTY,
    "tls_end_entity_certificate_not_valid_before": _EMPTY,
    "tls_certificate_chain_length": _TLS + "certificates that were kept, if any.",
    "tls_failure": _TLS + "OONI's failure, or empty.",
    "http_request_url": _HTTP + "the URL.",
    "http_failure": _HTTP + "OONI's failure, or empty.",
    "http_runtime": _HTTP + "seconds.",
    "probe_analysis": _EMPTY,
    "failure_class": "Layer of the failure, or `ok`.",
    "failure_str_full": "Layer and failure, or `ok`.",
    "failure_str": "OONI's failure, or empty.",
    "failure_str_raw": "The same.",
}
_LINE = {
    "annotations": "Engine, its version, and in `origin` the role: `vantage` or `control`.",
    "data_format_version": "Version of OONI's format.",
    "extensions": "Versions of OONI's data formats that are used.",
    "id": "Id of the measurement.",
    "input": _TARGET,
    "measurement_start_time": "Start of the measurement, UTC.",
    "options": "Always empty.",
    "probe_asn": "`AS` and the number of the network.",
    "probe_cc": _COUNTRY,
    "probe_ip": "Always 127.0.0.1: no volunteer's address is known.",
    "probe_network_name": "Always empty.",
    "report_id": "OONI's id of a report; here one a measurement.",
    "resolver_asn": "`AS` and the number of the resolver's network.",
    "resolver_ip": "Always empty.",
    "resolver_network_name": "Always empty.",
    "software_name": "Program that measured.",
    "software_version": "Its version.",
    "test_helpers": "Always empty.",
    "test_keys": "The observations, in OONI's lists; `x_reachwatch` of each is the observation in "
    "our wire format.",
    "test_name": "`reachwatch`.",
    "test_runtime": "Duration, seconds.",
    "test_start_time": "Begin of the round, UTC.",
    "test_version": "Version of the wire format.",
}
_DAY = {
    "version": "Version of the manifest.",
    "day": "The day, UTC.",
    "measurements": "Measurements of the day.",
    "exported": "Measurements in the files: those that this version can read.",
    "complete": "The day is over, and all that was received of it is there.",
    "licence": "SPDX id of the licence of the data.",
    "licence_url": "Text of the licence.",
    "dictionary": "This page.",
    "reachwatch": "Version of the program that made the files.",
    "made_ms": "When the files were made, Unix ms.",
    "files": "`name`, `url`, `bytes` and `sha256` of each file.",
}
FILES: tuple[ColumnTable, ...] = (
    ColumnTable(
        id="jsonl",
        title="OONI JSON Lines by day",
        about="`/data/DAY/measurements.jsonl.gz` and `reachwatch export ooni`: one measurement a "
        "line, in OONI's format.",
        columns=_LINE,
    ),
    ColumnTable(
        id="observations",
        title="Parquet by day, and CSV",
        about="`/data/DAY/measurements.parquet`, `reachwatch export parquet` and `export csv`: one "
        "row an observation, with the columns of OONI's observations. All are text.",
        columns=_OBSERVATION,
    ),
    ColumnTable(
        id="day",
        title="Manifest of a day",
        about="`/data/DAY/manifest.json`. `/data/manifest.json` lists all days.",
        columns=_DAY,
    ),
    ColumnTable(
        id="archive",
        title="Archive",
        about="`reachwatch archive`: one row a measurement.",
        columns=_ARCHIVED,
    ),
    ColumnTable(
        id="history",
        title="History",
        about="`/history.csv`: one row a slice of time and line of the chart.",
        columns={
            "begin": "Begin of the slice, RFC 3339, UTC.",
            "name": "Service or country of the line.",
            "measurements": "Measurements that are conclusive.",
            "failing": "Those that failed as blocked.",
            "vantages": "Vantages that measured.",
        },
    ),
)
TABLES = (*API, *FILES)


def document() -> str:
    """The whole dictionary as Markdown: wire format, API, files."""
    parts = [
        wire_dictionary(),
        "# API and files\n\nThe columns of the lists of `/api/v1/` (in CSV; JSON nests what is "
        "written with a dot) and of the exported files. Everything is published under "
        "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).\n",
    ]
    for table in TABLES:
        parts.append(f"## {table.title}\n\n{table.about}\n\n| column | meaning |\n|---|---|")
        parts.extend(f"| `{name}` | {meaning} |" for name, meaning in table.columns.items())
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"
