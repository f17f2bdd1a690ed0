# SPDX-License-Identifier: Apache-2.0
"""Alerts about the monitor and its vantages. While they fire, missing alerts mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alerts import promql
from monitor.alerts.alert import Alert, duration
from monitor.collector.message_queue import MAX_BYTES, MAX_MESSAGES
from monitor.detection.policy import Policy
from monitor.metrics import families, process

JOB, PARTS_JOB = "reachwatch", "reachwatch-parts"
"""The scrape jobs of the monitor in prometheus.yml: web servers, and collectors and detectors."""

QUARANTINED_SHARE, QUARANTINED_LEAST = 0.01, 20
"""Share of the stored measurements, and number, that may go to quarantine for one reason in an
hour without an alert: a broken probe, or one with a wrong clock, causes as many."""

ENROLLED_LEAST, ENROLLED_SHARE, REFUSED_LEAST = 20, 0.1, 5
"""Probes that may enrol within an hour without an alert: so many, and this share of all; and
enrolments that may be refused."""

FOLLOW_LATE_SECONDS = 6 * 3600
"""A public source publishes by the hour, whatever the pace."""


def alerts(policy: Policy) -> Sequence[Alert]:
    """Those that wake people first."""
    return (*_monitor(policy), *_probes(policy))


def _monitor(policy: Policy) -> Sequence[Alert]:
    hold = policy.alerting.trouble_hold_seconds
    memory = duration(policy, policy.fleet.outage_memory_seconds)
    received, concluded = families.LAST_RECEIVED.name, families.LAST_CONCLUDED.name
    late = policy.ms(policy.rounds.silent_seconds) / 1000
    long, backlog = duration(policy, policy.fleet.quiet_seconds), families.BACKLOG_SECONDS.name
    return (
        Alert(
            name="ReachwatchDown",
            expr=f"absent({families.BUILD.name})",
            severity="page",
            seconds=hold,
            summary="No monitor answers",
            description="Prometheus cannot scrape any web server of the monitor. No pages are "
            "served and no new alerts are sent. Open blocks keep their last known state.",
            first="Check /readyz on the monitor's machine, read the log of `reachwatch serve` or "
            "`up`, and restart it.",
            more={"when_resolved": "A monitor answers again."},
        ),
        Alert(
            name="ReachwatchInstanceDown",
            expr=f'up{{job="{JOB}"}} == 0',
            severity="ticket",
            seconds=hold,
            summary="The web server {{ $labels.instance }} does not answer",
            description="One of the monitor's web servers cannot be scraped, or its store cannot "
            "be read.",
            first="Check the targets page of Prometheus and the log of that server.",
        ),
        Alert(
            name="ReachwatchPartDown",
            expr=f'up{{job="{PARTS_JOB}"}} == 0',
            severity="ticket",
            seconds=hold,
            summary="The collector or detector {{ $labels.instance }} does not answer",
            description="A process of `reachwatch collect` or `detect` cannot be scraped. Others "
            "of its kind take over its work, if there are any.",
            first="Check the log of that process, and restart it.",
        ),
        Alert(
            name="CollectorDisconnected",
            expr=f"{process.CONNECTED.name} == 0",
            severity="ticket",
            seconds=hold,
            summary="The collector {{ $labels.instance }} cannot use the {{ $labels.to }}",
            description="This collector stores nothing at the moment. Probes keep their "
            "measurements and send them again.",
            first="Its /readyz says why; check that broker or store.",
        ),
        Alert(
            name="CollectorLeavesBatches",
            expr=f"sum by (instance, reason) (increase({process.UNACKNOWLEDGED.name}"
            f'{{reason!="dropped"}}[{promql.window(policy)}])) > 0',
            severity="ticket",
            seconds=hold,
            summary="The collector {{ $labels.instance }} leaves batches to probes: "
            "{{ $labels.reason }}",
            description="Batches were not acknowledged, so nothing is lost; but a probe sends too "
            "much or is newer than the monitor, or the monitor's clock is behind.",
            first="Find the probe's id in the collector's log; the runbook explains each reason.",
        ),
        Alert(
            name="CollectorOverloaded",
            # When a fleet sends again what it kept in an outage, this is so for some minutes.
            expr=f"max by (instance) ({process.QUEUE_MESSAGES.name}) > {MAX_MESSAGES // 2} or "
            f"max by (instance) ({process.QUEUE_BYTES.name}) > {MAX_BYTES // 2} or "
            f"sum by (instance) (increase({process.UNACKNOWLEDGED.name}"
            f'{{reason="dropped"}}[{promql.window(policy)}])) > 0',
            severity="ticket",
            seconds=policy.fleet.quiet_seconds,
            summary="The collector {{ $labels.instance }} does not keep up with its probes",
            description="For an hour its queue has been half full, or batches were not "
            "acknowledged because there was no room for them. Nothing is lost, because probes "
            "send them again, but measurements are stored late.",
            first="Compare reachwatch_ingest_lag_seconds with the load of store and machine; the "
            "log names a probe that sends too much.",
        ),
        Alert(
            name="MeasurementsQuarantined",
            # What goes to quarantine is acknowledged: its probe forgets it.
            expr=f"max by (reason) (increase({families.QUARANTINED.name}[{long}])) > on () "
            f"group_left () ({QUARANTINED_SHARE} * max(increase({families.INGESTED.name}[{long}])) "
            f"+ {QUARANTINED_LEAST})",
            severity="ticket",
            seconds=hold,
            summary="{{ printf `%.0f` $value }} measurements went to quarantine within an hour: "
            "{{ $labels.reason }}",
            description="More than one in a hundred is not stored, and its probe forgets it. "
            "Either the monitor is set up wrongly, or probes send what is not valid.",
            first="The runbook says for each reason whose fault it is; correct the monitor's soon, "
            "because what it refuses is lost.",
            link="/status",
        ),
        Alert(
            name="DetectorWithoutLeader",
            expr=f"sum by (shard) ({process.LEADER.name}) == 0",
            severity="page",
            seconds=hold,
            summary="No detector processes part {{ $labels.shard }} of the services",
            description="Detectors of this part are running, but all are on standby or wait for "
            "the store. No block can be found or closed for its services.",
            first="Check the log of `reachwatch detect` and whether the store answers.",
            link="/status",
        ),
        Alert(
            name="CollectorIngestStalled",
            # Below two vantages nothing can be confirmed, and a laptop may be closed.
            expr=f"({promql.ingest_stalled(policy)}) "
            f"and max(max_over_time({promql.ONLINE}[{memory}])) "
            f">= {policy.quorum.quorum_min_vantages}",
            severity="page",
            seconds=hold,
            summary="Measurements have stopped arriving",
            description="Vantages were online within the last day, but no measurement is stored "
            "now: the broker, the collector or the store has a problem. Probes keep their "
            "measurements.",
            first="Check broker and store at /readyz, and restart what is down. No measurement "
            "is lost by a restart.",
            link="/status",
        ),
        Alert(
            name="DetectorLagging",
            # Or nothing was ever judged, though measurements have been there for long enough.
            # Old measurements that are imported today do not wait for rounds of today; while an
            # import or a spool hides for moments that there are newer ones, these still do.
            expr=f"(max({received}) - max({concluded}) > {late:g} "
            f"unless on () max(max_over_time({families.NEWEST_ROUND.name}"
            f"[{promql.window(policy)}])) <= max({concluded})) or "
            f"(max({received} offset {promql.window(policy)}) unless on () max({concluded}))",
            severity="page",
            seconds=hold,
            summary="The detector does not keep up with the measurements",
            description="Measurements are stored but not judged. No block can be found or closed "
            "while this lasts.",
            first="Check that a `reachwatch detect` runs and leads; start one if not.",
            link="/status",
        ),
        Alert(
            name="DetectorBacklog",
            # A history that is worked off, after an upgrade or an outage, becomes younger.
            expr=f"min by (instance) (min_over_time({backlog}[{long}])) "
            f"> {policy.ms(policy.fleet.quiet_seconds) / 1000:g} "
            f"and max by (instance) (delta({backlog}[{long}])) > 0",
            severity="ticket",
            seconds=hold,
            summary="The backlog of the detector {{ $labels.instance }} does not become smaller",
            description="Rounds that ended more than an hour ago are not judged, or not judged "
            "again with the measurements that came late, and the oldest becomes older.",
            first="Look at the detector's log and its CPU load; divide the services among several "
            "with `reachwatch detect --shard`.",
            link="/status",
        ),
        Alert(
            name="DetectorDamagedBatches",
            expr=f"max by (instance) ({families.DAMAGED_BATCHES.name}) > 0",
            severity="ticket",
            summary="{{ $value }} stored batches cannot be read",
            description="The detector {{ $labels.instance }} found stored batches that cannot be "
            "unpacked, and judges without their measurements: a disk or a file is damaged.",
            first="Check the disk and the database now, before more is lost; the detector's log "
            "names the batches.",
        ),
        Alert(
            name="WebhookFailing",
            # The process may have been started again since.
            expr=f"max by (host) (max_over_time({families.WEBHOOK_WAITING.name}"
            f"[{promql.window(policy)}])) > {late:g}",
            severity="ticket",
            seconds=hold,
            summary="The webhook at {{ $labels.host }} does not accept changes",
            description="A change of an event has not been accepted for more than 15 minutes. It "
            "is sent again for a day, and then left out.",
            first="The detector's log says what the receiver answers; tell who runs it.",
        ),
        Alert(
            name="FollowBehind",
            # OONI publishes an hour after one to three. While days are caught up, it gets less.
            expr=f"min by (source) (min_over_time({families.FOLLOW_LAG.name}[{long}])) "
            f"> {FOLLOW_LATE_SECONDS} "
            f"and max by (source) (delta({families.FOLLOW_LAG.name}[{long}])) > 0",
            severity="ticket",
            seconds=hold,
            summary="Data of {{ $labels.source }} are {{ humanizeDuration $value }} behind",
            description="The public source {{ $labels.source }} has published nothing that could "
            "be read for more than six hours, or nobody follows it. What rests on our own "
            "vantages is not affected.",
            first="/status says what the follower waits for, or that none runs.",
            link="/status",
        ),
        Alert(
            name="DeadMansSwitch",
            expr="vector(1)",
            severity="none",
            summary="Alerting works",
            description="Always firing. Its receiver raises the alarm when it stops, because then "
            "Prometheus, Alertmanager or the path out is broken.",
            first="Nothing while it fires.",
        ),
    )


def _probes(policy: Policy) -> Sequence[Alert]:
    vantages, memory = families.VANTAGES.name, duration(policy, policy.fleet.outage_memory_seconds)
    online, hour = promql.ONLINE_BY_COUNTRY, duration(policy, policy.fleet.quiet_seconds)
    return (
        Alert(
            name="ControlSilent",
            kind="vantage",
            expr=f"sum({vantages}) > 0 unless on () "
            f'sum({vantages}{{role="control", status="online"}}) > 0',
            severity="ticket",
            seconds=policy.rounds.silent_seconds,
            summary="No control is online: nothing can be called blocked",
            description="Without a control, a failure may be the service's own, so every verdict "
            "is inconclusive.",
            first="Run `reachprobe status` on the control's machine, or enrol another control.",
            link="/v",
        ),
        Alert(
            name="EnrolmentSpike",
            # A new fleet grows by a multiple within an hour, and by a few probes.
            expr=f"max(increase({families.ENROLLED.name}[{hour}])) > "
            f"{ENROLLED_LEAST} + {ENROLLED_SHARE} * "
            f"(max({families.ENROLLED.name} offset {hour}) or vector(0)) "
            f"or max(increase({families.ENROLMENTS_REFUSED.name}[{hour}])) > {REFUSED_LEAST}",
            severity="ticket",
            summary="{{ printf `%.0f` $value }} probes enrolled, or were refused, within an hour",
            description="Far more than usual. Whoever enrols many probes under several names may "
            "want to outvote the others; new owners page nobody for four weeks, but they count "
            "among those whose agreement a confirmation takes.",
            first="Compare `reachwatch probes list` with the tokens that were given away, and "
            "revoke the token and the probes that nobody knows.",
            link="/v",
        ),
        Alert(
            name="VantageSilent",
            kind="vantage",
            expr=f"max_over_time({online}[{memory}]) - {online} > 0",
            severity="info",
            seconds=policy.rounds.silent_seconds,
            summary=f"{{{{ $value }}}} vantages in {promql.COUNTRY_TEXT} are silent",
            description="They were online within the last day. Volunteers turn computers off; but "
            "if few vantages of a country are left, no block there can be confirmed.",
            first="Usually nothing; the vantages page lists them.",
            link="/v",
        ),
    )
