# SPDX-License-Identifier: Apache-2.0
"""Every duration and threshold of detecting and alerting, in one frozen object.

`pace` divides all durations, so that a demonstration or a laboratory differs from production
by one number. Calibration belongs to the simulator; the values here are the starting point of
reference design section 7. Durations are seconds as written and milliseconds as used.
"""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of the detector. Integers only: a float here would make replay depend on the
    order of sums."""

    name: str = "default"
    pace: int = 1
    # durations, seconds before division by the pace
    round_close_seconds: int = 30
    """A round closes this long after its end when something is still missing."""
    control_window_seconds: int = 300
    """How far back the nearest control round may lie."""
    vantage_min_age_seconds: int = 6 * 3600
    """A younger vantage has no vote."""
    baseline_seconds: int = 7 * 86400
    baseline_lag_seconds: int = 3 * 3600
    confirm_typed_seconds: int = 5 * 60
    confirm_untyped_seconds: int = 45 * 60
    close_good_seconds: int = 5 * 60
    """How long the vantages that saw a block must see the service before it closes."""
    silent_seconds: int = 15 * 60
    """A vantage not heard for this long is silent."""
    checkpoint_seconds: int = 3600
    """How often the state is kept, so that late facts need not refold all history."""
    residual_seconds: int = 180
    """How long a censor may go on blocking an address after a trigger: a shallower failure
    inside that time is the trigger's echo."""
    lone_seconds: int = 86400
    """A vantage that alone sees a block for this long counts no more towards a quorum, and its
    baseline learns again: it looks like a filter of its own."""
    split_seconds: int = 2 * 3600
    """How long vantages of a network must disagree before those who fail are on watch."""
    split_together_seconds: int = 6 * 3600
    """Vantages that are blocked as a part of a network began within so long of one another; filters
    of their own begin when they please."""
    baseline_bucket_seconds: int = 3600
    round_wait_seconds: int = 300
    """Longest interval that a round is waited for; slower vantages are late by design."""
    retest_pause_seconds: int = 180
    """Least time between two retests of a target in a network; never less than
    `residual_seconds`, so that no censor's echo of one is measured by the next."""
    retest_window_seconds: int = 3600
    """Over which retests are counted, and how long an alarm counts as new."""
    retest_round_seconds: int = 60
    """Length of a round that the vantages of one network measure because the detector asked."""
    imported_silence_seconds: int = 86400
    """How long an imported network's last run still describes it: volunteers come when they
    please."""
    imported_lift_seconds: int = 3 * 86400
    """An imported block ends only after so long without a failure: those that follow the hours and
    days of work (exams, curfews) come back after the night and after the weekend."""
    imported_span_seconds: int = 3600
    """Failing runs of an imported network must be spread over so long: half an hour of tries is
    one volunteer's evening."""
    imported_outage_seconds: int = 6 * 3600
    """Where no other network reaches a target either, it may be an outage until it has lasted for
    so long (Meta's of 2021-10-04, the longest of a messaging giant in years, took six hours)."""
    # alerting, seconds: nothing below is read by the detector
    watch_seconds: int = 30
    """How often Prometheus scrapes and evaluates."""
    page_wait_seconds: int = 60
    """How long Alertmanager waits for what belongs to the same message."""
    page_interval_seconds: int = 10 * 60
    """How long it waits before it tells a change of something that it told already."""
    page_repeat_seconds: int = 86400
    """How often it tells again what nobody ended."""
    heartbeat_seconds: int = 60
    """How often the dead man's switch is heard."""
    likely_hold_seconds: int = 10 * 60
    """How long an event must be likely before a ticket is written."""
    trouble_hold_seconds: int = 5 * 60
    """How long a trouble of the monitor itself must last before anybody is told."""
    outage_memory_seconds: int = 86400
    """How long a monitor may be gone and still tell what ended meanwhile; for as long, a vantage
    that fell silent is missed."""
    expected_vantages_seconds: int = 7 * 86400
    """A country is dark compared with its best moment of this long."""
    # evidence, micro-nats
    threshold_micronats: int = 7_000_000
    clip_micronats: int = 7_000_000
    """Most that one vantage counts for."""
    imported_micronats: int = 12_500_000
    """What the one pseudo-vantage of an imported network must hold before it alarms: four failing
    runs in a row at the least, also where one in thirty fails anyhow."""
    sample_clip_micronats: int = 3_500_000
    """Most that one bare failure counts for."""
    typed_clip_micronats: int = 4_000_000
    """Most that one failure with a typed signature counts for: a single one is never enough, two
    are, even with some successes between them."""
    typed_quorum_micronats: int = 10_500_000
    """The least sum for a quorum when vantages of enough owners hold signatures: two failures at
    one vantage and one at another. Without signatures two vantages must be at the threshold."""
    bare_micronats: int = 500_000
    """What the rules give to the commonest natural failure. Only what a rule gives beyond it is
    evidence: else every stray failure would speak for a block by its mere weight."""
    suspect_micronats: int = 3_000_000
    """What a vantage must hold for its network to measure again at once: about one failure of a
    vantage that hardly ever fails."""
    # shares, per mille
    p1_per_mille: tuple[int, ...] = (100, 300, 800)
    apart_per_mille: int = 2500
    """How far above the baseline a share must lie to be tried at a vantage: nearer ones cannot be
    told from chance, and chance that now and then looks typed would drift upwards for ever."""
    prior_failure_per_mille: int = 20
    prior_weight: int = 200
    """Pseudo-counts of the baseline's prior."""
    chronic_per_mille: int = 300
    """A vantage whose baseline fails more often has no vote."""
    quorum_per_mille: int = 410
    quorum_hold_per_mille: int = 850
    """A quorum that was reached holds until the sum falls below this share of what it took: one
    success at the edge does not begin the wait for confirmation anew."""
    signed_per_mille: int = 340
    """A vantage is typed when at least this share of its failures carries a signature; of those
    that are no block a few do so by chance."""
    split_per_mille: int = 700
    """Share of its samples that fails at a vantage on watch. Where half of the flows are blocked,
    all vantages of a network fail now and then: that is no part of it."""
    elsewhere_per_mille: int = 300
    """Above this share of other networks failing, the service is down, not blocked."""
    elsewhere_min_networks: int = 2
    """Fewer failing networks in other countries say nothing: one may be a second block."""
    chronic_weight: int = 20
    """Pseudo-counts of the prior against which a vantage's whole history is called chronic."""
    dark_per_mille: int = 800
    """Above this share of a network's vantages offline, the network is dark."""
    down_per_mille: int = 660
    """From this share of a service's targets being down, its alerts are explained by that. Read
    by the alert rules alone."""
    page_per_mille: int = 900
    """A confirmed event wakes somebody from this confidence on; less sure, it is a ticket. Read by
    the alert rules alone."""
    # counts
    imported_history: int = 8
    """Runs of an imported network that must have worked before any failure there may alarm."""
    retest_targets: int = 8
    """Targets that a network is asked for at once."""
    retest_most: int = 6
    """Times that a network is asked for a target within the window."""
    quorum_min_vantages: int = 2
    confirm_min_owners: int = 2
    owner_vantages: int = 2
    """Vantages of one owner that count in one network's quorum and darkness, however many it has:
    nobody outvotes the others by numbers."""
    country_min_vantages: int = 3
    country_min_owners: int = 2
    close_good_rounds: int = 2
    strong_micronats: int = 2_000_000
    """A rule that weighs at least this is a typed signature."""

    def ms(self, seconds: int) -> int:
        """A duration of this policy in milliseconds of real time, divided by the pace."""
        return seconds * 1000 // self.pace
