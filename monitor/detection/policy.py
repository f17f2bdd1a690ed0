# SPDX-License-Identifier: Apache-2.0
"""Every duration and threshold of detecting and alerting, in frozen groups, one for each concept.

`pace` divides all durations, so that a demonstration or a laboratory differs from production by one
number. The values were calibrated with the simulator (docs/evaluation). Durations are written in
seconds and used in milliseconds. Integers only: a float here would make replay depend on the order
of sums. Each name occurs in one group, because the values are shown and published without groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class RoundsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a round is complete, what in it is late, and how long what a round says holds."""

    round_close_seconds: int = 30
    """A round with missing measurements closes this long after its end."""
    round_wait_seconds: int = 120
    """Longest interval for which a round waits: probes begin within 75 seconds of its name, and a
    lean round takes half a minute. What arrives later is folded afterwards."""
    late_seconds: int = 3 * 60
    """What arrives so long after the deadline of its round is late: it is shown, and is evidence of
    nothing. A probe sends a round within minutes. The longer this is, the more of what it has just
    said can somebody take back who sees an event."""
    control_window_seconds: int = 300
    """How far back the nearest control round may lie."""
    residual_seconds: int = 180
    """How long a censor may continue to block an address after a trigger: a shallower failure in
    that time is caused by the trigger."""
    silent_seconds: int = 15 * 60
    """A vantage not heard for this long is silent."""
    checkpoint_seconds: int = 3600
    """How often the state is kept, so that late facts do not require folding the whole history."""


class BaselinePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What usually fails at a vantage, and when that is so much that it has no vote."""

    baseline_seconds: int = 7 * 86400
    """How far back a vantage's usual failures are counted."""
    baseline_lag_seconds: int = 3 * 3600
    """How old they must be, so that a block does not become usual."""
    baseline_bucket_seconds: int = 3600
    """Usual failures are counted in pieces of this length."""
    prior_failure_per_mille: int = 20
    """How often anything fails for natural reasons, before a vantage's own history is known."""
    prior_weight: int = 200
    """Pseudo-counts of the baseline's prior."""
    chronic_per_mille: int = 300
    """A vantage whose baseline fails more often has no vote."""
    chronic_weight: int = 20
    """Pseudo-counts of the prior that decides whether a vantage fails chronically."""


class EvidencePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a failure weighs at one vantage, until the vantage is alarmed."""

    threshold_micronats: int = 7_000_000
    """Evidence that raises an alarm at one vantage."""
    clip_micronats: int = 7_000_000
    """Most that one vantage counts for."""
    sample_clip_micronats: int = 3_500_000
    """Most that one failure without a signature counts for."""
    signature_clip_micronats: int = 4_000_000
    """Most that one failure with a signature counts for: one is never enough for an alarm,
    two are, even with some successes between them."""
    natural_micronats: int = 500_000
    """The weight of the most common natural failure. Only weight above it is evidence; otherwise
    every isolated failure would be evidence of a block."""
    p1_per_mille: tuple[int, ...] = (100, 300, 800)
    """How often a block may let measurements fail; each share is tried."""
    apart_per_mille: int = 2500
    """How far above the baseline p1 must be to count at a vantage: smaller ones cannot be
    distinguished from chance, and the sum would drift upwards."""
    signature_micronats: int = 2_000_000
    """A failure has a signature when its rule weighs at least this (`monitor.detection.rule`)."""
    signature_per_mille: int = 600
    """A vantage has a signature when at least this share of its failures has one. A few natural
    failures have one by chance, and so has up to a third of those behind a device that resets
    connections whatever the name: there the innocuous name passed by chance."""
    by_name_per_mille: int = 750
    """Of the failures beside which an innocuous name was sent to the same server, this share must
    be of the service's name alone: such a device fails for some innocuous names as well."""


class QuorumPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a vote, and how many of a network must agree before a block is likely."""

    vantage_min_age_seconds: int = 6 * 3600
    """A younger vantage has no vote."""
    known_seconds: int = 28 * 86400
    """An owner has been known for long when a vantage of theirs was enrolled before this."""
    lone_seconds: int = 86400
    """A vantage that alone sees a block for this long no longer counts towards a quorum, and its
    baseline is updated again: it probably has a filter of its own."""
    owner_vantages: int = 2
    """Most vantages of one owner that count in a network's quorum and for the gate of an offline
    network, so that one owner cannot outvote the others."""
    quorum_min_vantages: int = 2
    """Vantages that must agree, however few there are."""
    quorum_per_mille: int = 410
    """Share of a network's voting vantages that must agree."""
    quorum_hold_per_mille: int = 850
    """A quorum that was reached holds until the sum falls below this share of it, so that one
    success does not restart the wait for confirmation."""
    signature_quorum_micronats: int = 10_500_000
    """The least sum for a quorum when vantages of two owners hold signatures, but not of as many as
    a confirmation takes: of those one signature each is enough. Without signatures two vantages
    must be at the threshold."""


class ConfirmationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many owners must agree, and for how long, before a block is confirmed."""

    confirm_signature_seconds: int = 4 * 60
    """How long a typical sign must hold until it is confirmed: the residual time and a round of
    retests. Sooner, nobody who has failed can be asked again."""
    confirm_plain_seconds: int = 45 * 60
    """How long an untypical one must, a mere time-out for one."""
    confirm_min_owners: int = 2
    """Owners to whom the vantages that agree must belong."""
    confirm_most_owners: int = 4
    """Owners that must agree for a confirmation: the quorum's share of the vantages that could vote
    (`expected_voters_seconds`), between these two. So from five of them on it takes three, from
    eight on four: three of ten could else wait until enough of the others are off
    (`night_owners`)."""
    expected_voters_seconds: int = 86400
    """Vantages heard within this time count when it is decided how many owners must agree."""
    night_owners: int = 3
    """Owners that are enough at an hour at which most others are usually off, if all who measure
    then agree. Fewer are for a block with a signature, where they are known for long and nobody is
    missing who usually measures then: as many as in a network of those who are awake."""
    sleep_seconds: int = 3 * 3600
    """A vantage is off for longer than this when it is off at night."""


class GatesPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What lets no failure of a network count: a service that is down, a network or country that is
    offline."""

    outage_seconds: int = 6 * 3600
    """How long an outage may last (Meta's of 2021-10-04, the longest of a large messaging service
    in years, took six hours). What began as one confirms nothing for so long after others reach
    the service again, unless the network has reached it in between. Imports: when no other network
    reaches a target either, a shorter failure may be one."""
    staggered_seconds: int = 86400
    """Failures of several countries that began within this time of each other may be one change of
    the service, which it makes region by region, or an outage that spreads."""
    elsewhere_per_mille: int = 300
    """Above this share of other networks, and of the owners of vantages there, failing, the service
    is down, not blocked."""
    elsewhere_min_networks: int = 2
    """Fewer failing networks in other countries do not count: one may be a second block."""
    elsewhere_min_owners: int = 3
    """Fewer owners of failing vantages do not count: two strangers must not silence others."""
    dark_per_mille: int = 800
    """Above this share of a network's vantages offline, the network is dark."""
    country_min_vantages: int = 3
    """Vantages whose silence together makes a country dark."""
    country_min_owners: int = 2
    """Owners to whom those must belong."""


class OtherHostsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When innocuous hosts fail as well, which is no block of the service."""

    others_min: int = 2
    """Liveness hosts that a vantage must reach beside a failure that confirms a block."""
    others_per_mille: int = 250
    """A liveness host fails beside the target when it failed beside this share of a vantage's
    failures, or all of them together as often as twice this share, and does so at half of the
    owners that agree."""
    others_usual_per_mille: int = 150
    """A liveness host that a vantage misses more often while it reaches the target says nothing
    when it fails: it is blocked there, too, or unreliable. The same of different hosts, where the
    vantage misses one or another more often: its line is poor."""


class PartsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When some vantages of a network are a blocked part of it."""

    split_seconds: int = 2 * 3600
    """How long vantages of a network must disagree before the failing ones are on watch."""
    split_share_per_mille: int = 20
    """The least share of the voting vantages that is a part of a network: in a large one, some
    filters of their own begin within hours of each other."""
    split_together_seconds: int = 6 * 3600
    """Vantages in a blocked part of a network began to fail within this time of each other; filters
    of their own begin at any time."""
    split_per_mille: int = 700
    """Share of failing samples of a vantage on watch. When half of the connections are blocked, all
    vantages of a network fail at times: that is no blocked part of the network."""


class EndingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What ends a block, and the retests that ask whether it has ended."""

    close_good_seconds: int = 12 * 60
    """How long the vantages that saw a block must see the service before it closes: a block that
    pauses for ten minutes has not ended."""
    close_good_rounds: int = 2
    """Good rounds in a row that end a block."""
    end_micronats: int = 4_500_000
    """Evidence that ends a block that failed once; for more failures the logarithm of their number
    is added."""
    natural_signature_per_mille: int = 40
    """How often a natural failure has a signature."""
    together_seconds: int = 15 * 60
    """Natural failures of a vantage within this time of its latest success are rather one than
    several: a line, or a way, is bad for minutes."""
    alone_seconds: int = 3 * 3600
    """How long before all others a vantage must have failed for its failures to say nothing of
    their block. A block of half of the flows is seen by vantages within an hour or two."""
    end_samples: int = 20
    """Successes that end a block of half of the flows: a network that makes as many in the time
    that an end takes is not asked."""
    end_retest_pause_seconds: int = 90
    """Least time between two retests of a target in a network because a block may have ended."""
    end_retest_most: int = 16
    """Times that a network is asked within the window whether a block has ended: as often as a
    probe accepts."""
    end_retest_micronats: int = 2_000_000
    """Evidence of an end below which one vantage is asked at a time: a block that lets half of the
    flows pass gives so little all the time, and what asks about its end must be left."""
    end_look_most: int = 24
    """Times that one vantage of a network is asked within the window, of them all."""
    end_retest_asker_most: int = 48
    """Requests that the successes of one vantage may cause within a day, all targets together."""
    end_retest_vantages: int = 10
    """Vantages that are asked whether a block has ended, most at once."""
    end_look_seconds: int = 5 * 60
    """Least time for which nobody has measured a known block until one vantage is asked to."""
    end_look_part: int = 48
    """The part of a block's age for which that may be so: what has lasted for a day is more likely
    to last another than what began two hours ago, and looks are paid for by the volunteers."""


class RetestsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to be measured again because something failed, how often and of whom."""

    retest_pause_seconds: int = 210
    """Least time between two retests of a target in a network: `residual_seconds` after the last
    failure of the one before, so that a retest does not measure the censor's reaction to it."""
    retest_window_seconds: int = 3600
    """Over which retests are counted, and how long an alarm counts as new."""
    retest_round_seconds: int = 60
    """Length of a round that the vantages of one network measure because the detector asked."""
    retest_asker_seconds: int = 86400
    """Over which the requests are counted that one vantage causes."""
    retest_targets: int = 8
    """Targets that a network is asked for at once."""
    retest_most: int = 6
    """Times that a network is asked for a target within the window."""
    retest_vantages: int = 5
    """Vantages of a network that are asked first, each of another owner if possible: enough to
    answer an isolated failure, so that its cost does not grow with the network, and for the owners
    of a confirmation to be among them, though one or two are offline."""
    retest_asker_most: int = 48
    """Requests that the measurements of one vantage may cause within a day, all targets together:
    a failure in each round of 1,800 s. At some 60 kB for a retest a liar costs another volunteer
    three megabytes a day."""
    suspect_per_mille: int = 40
    """The share of a network's vantages that must have failed for the network to measure again at
    once: twice of what fails at any time, so that in a large network isolated failures do not use
    up the retests."""


class ImportedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What runs of others, taken from open data, must show."""

    imported_silence_seconds: int = 86400
    """How long the last run of an imported network is valid: runs are irregular."""
    imported_lift_seconds: int = 3 * 86400
    """An imported block ends only after so long without a failure: blocks during exams or curfews
    return after the night and after the weekend."""
    imported_span_seconds: int = 3600
    """Failing runs of an imported network must be spread over so long: several within half an hour
    may be one volunteer's."""
    stand_in_seconds: int = 3600
    """For so long a run that reaches a target elsewhere can stand in for a control."""
    stand_in_networks: int = 2
    """In so many networks of other countries it must be reached."""
    imported_together_seconds: int = 3600
    """Runs of two imported networks in the same hour: within so long of each other."""
    imported_memory_seconds: int = 90 * 86400
    """How long an imported network without a run is remembered. Its history counts in runs, and
    some networks have one a week."""
    imported_micronats: int = 12_500_000
    """Evidence that an imported network needs for an alarm: at least four failing runs in a row,
    also where one in thirty fails anyway."""
    imported_dense_per_mille: int = 300
    """Share of an imported network's runs that must have failed since the onset: a few failures
    among many runs are somebody's device. A block by school hours leaves the nights."""
    imported_window: int = 336
    """Runs in the baseline of an imported network: a week of two an hour."""
    imported_lag: int = 24
    """Its latest runs, which are not in its baseline yet, so that a block that grows slowly does
    not become normal."""
    imported_many: int = 12
    """So many failures since the onset need not be dense: a block may grow slowly."""
    imported_together: int = 3
    """Failing runs in the same hours as other networks of an open event from which a network needs
    less evidence."""
    imported_always_per_mille: int = 900
    """Share of the latest runs that fail where something has been blocked for so long that the
    history shows no other time."""
    imported_always_runs: int = 48
    """The latest runs: so many that even a line that loses two thirds hardly fails so often."""
    imported_always_seconds: int = 86400
    """For so long at least."""
    imported_peers: int = 4
    """Networks that reach a target, by the same test, from which on they show what is usual. They
    lie in several countries."""
    imported_helped: int = 4
    """Failures beside which OONI's helper reached the site, in place of other networks."""
    imported_changes_seconds: int = 18 * 3600
    """Within how long of each other networks begin to fail when a service changes or goes down: it
    does so by regions, in a working day."""
    imported_spread_seconds: int = 7 * 86400
    """Within how long countries begin to fail one after another where a service leaves an endpoint
    behind. What does not count is not learnt: longer would make poor networks look good."""
    imported_spread_countries: int = 3
    """Where so many countries have begun to fail in so long, and too large a share of what is
    measured, a service leaves an endpoint behind: states do not follow each other so."""
    imported_pooled_micronats: int = 15_000_000
    """Evidence that two networks of one country that fail in the same hours need together: more
    than one alone (five failing runs), because there are several of them to choose from."""
    imported_pooled_least: int = 5_000_000
    """Of that, what each of them needs: two failing runs."""
    imported_beside_micronats: int = 4_000_000
    """By so much less evidence a network needs where another service is blocked in the same hours:
    a prior of 55 to 1, one failing run. It replaces no more, because one device runs both tests."""
    imported_faults_seconds: int = 14 * 86400
    """How long a failure that nothing answered is remembered for other services of a network. Where
    they fail so and are reached again, the line is poor: what fails there must outlast a day."""
    imported_history: int = 8
    """Runs of an imported network that must have worked before any failure there may alarm. Half of
    them are enough where those of the service's functions together are more than as many, or
    another service is blocked in the same hours."""


class AlertingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes an alert, and when one is sent. Read by the alert rules alone."""

    watch_seconds: int = 30
    """How often Prometheus scrapes and evaluates."""
    page_wait_seconds: int = 60
    """How long Alertmanager waits for what belongs to the same message."""
    page_interval_seconds: int = 10 * 60
    """How long it waits before it sends a change of an alert that it has sent."""
    page_repeat_seconds: int = 86400
    """How often it repeats an alert that is still firing."""
    heartbeat_seconds: int = 60
    """How often the dead man's switch reports."""
    page_keep_seconds: int = 3600
    """How long the alert of a confirmed block goes on firing after its end: one that returns
    meanwhile belongs to the same page."""
    likely_hold_seconds: int = 10 * 60
    """How long an event must be likely before a ticket is written."""
    trouble_hold_seconds: int = 5 * 60
    """How long a fault of the monitor itself must last before an alert is sent."""
    down_per_mille: int = 660
    """From this share of a service's targets being down, its alerts are explained by that. Read
    by the alert rules alone."""
    page_per_mille: int = 900
    """A confirmed event with at least this confidence is a page, otherwise a ticket. Read by the
    alert rules alone."""
    import_tickets: bool = False
    """Whether a ticket is written for an event that others' measurements alone show."""


class FleetPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When too few vantages measure, or none."""

    quiet_seconds: int = 3600
    """How long a small fleet may measure nothing: twice the default interval of a probe."""
    steady_seconds: int = 6 * 3600
    """A fleet that measured in every `silent_seconds` for this long does not fall silent by
    chance."""
    outage_memory_seconds: int = 86400
    """How long a monitor may be down and still report what ended meanwhile; for as long, a vantage
    that stopped reporting counts as missing."""
    expected_vantages_seconds: int = 7 * 86400
    """A country's vantages are compared with their largest number in this time."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All groups, and the pace at which they hold."""

    name: str = "default"
    """What this set of values is called."""
    pace: int = 1
    """All durations are divided by it; 1 outside demonstrations."""
    rounds: RoundsPolicy = RoundsPolicy()
    baseline: BaselinePolicy = BaselinePolicy()
    evidence: EvidencePolicy = EvidencePolicy()
    quorum: QuorumPolicy = QuorumPolicy()
    confirmation: ConfirmationPolicy = ConfirmationPolicy()
    gates: GatesPolicy = GatesPolicy()
    other_hosts: OtherHostsPolicy = OtherHostsPolicy()
    parts: PartsPolicy = PartsPolicy()
    ending: EndingPolicy = EndingPolicy()
    retests: RetestsPolicy = RetestsPolicy()
    imported: ImportedPolicy = ImportedPolicy()
    alerting: AlertingPolicy = AlertingPolicy()
    fleet: FleetPolicy = FleetPolicy()

    def ms(self, seconds: int) -> int:
        """A duration of this policy in milliseconds of real time, divided by the pace."""
        return seconds * 1000 // self.pace

    def values(self) -> Mapping[str, Any]:
        """Every value by its name, without the groups, as it is shown and published."""
        flat = dict[str, Any]()
        for name, value in msgspec.structs.asdict(self).items():
            group = msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else None
            flat |= {name: value} if group is None else group
        return flat
