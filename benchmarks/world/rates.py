# SPDX-License-Identifier: Apache-2.0
"""Every rate of the simulated world in one place. Nothing here is measured on a fleet of ours.

Where a number stands without a remark it is the assumption of our earlier stress simulation
(its numbers only); `added` marks what this world adds so that
whole verdicts and gates have something to judge. Durations are means of an exponential law.
"""

from __future__ import annotations

from dataclasses import dataclass

YEAR_MS = 365 * 86_400_000
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Trouble:
    """One kind of trouble that is no block."""

    yearly: float
    """How often it begins, for each thing that it befalls."""
    minutes: float
    """How long it lasts, mean."""
    fails: float
    """Share of the measurements in it that fail."""
    liveness: float = 0.0
    """Share of those failures in which the vantage's own liveness fails as well."""
    fails_most: float = 0.0
    """The share that fails is drawn for each of them, uniform, from `fails` to this; 0: it is
    `fails`."""
    between: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest in minutes, uniform, in place of the exponential law."""
    alone: float = 1.0
    """Share of them that concern the target alone. The others concern every liveness host with the
    same chance, drawn for each of them from `breadth`."""
    breadth: tuple[float, float] = (0.2, 1.0)
    signed: float = 0.0
    """Share of them in which a device resets the connections."""
    signed_alone: float = 1.0
    """`alone` of those."""
    by_name: float = 1.0
    """Share of those in which the device reads the name, so that an innocuous one to the same
    server passes: every failure looks like a block with a signature."""


@dataclass(frozen=True)
class Rates:
    """The world. Frozen, so that a run can print it."""

    path: Trouble = Trouble(120, 25, 0.7, 0.78)
    """A vantage's path: Wi-Fi, line, router. (share that fails: added)"""
    vantage_target: Trouble = Trouble(24, 15, 0.7)
    """Between one vantage and the target. (share that fails: added)"""
    local_filter: Trouble = Trouble(1, 3 * 1440, 1.0)
    """A filter of the vantage's own: controls and liveness pass."""
    peering: Trouble = Trouble(2, 30, 0.7)
    """Between one network and the target: everybody in it, controls pass."""
    upstream: Trouble = Trouble(0, 55, 0.7)
    """An upstream of two or more networks of a country."""
    national: Trouble = Trouble(0, 120, 0.7, alone=0.0, breadth=(1.0, 1.0))
    """An outage of a whole country that is not complete: the target fails, each liveness host in
    `national_hosts` of the measurements."""
    national_hosts: float = 0.5
    host_outage: Trouble = Trouble(2, 60, 1.0)
    """Of each liveness host, for everybody. (added)"""
    one_owner: float = 0.0
    """Share of a network's vantages that belong to one owner, and share their line and its
    troubles. (added)"""
    network_outage: Trouble = Trouble(12, 45, 0.95, 0.97)
    """A whole network. (shares: added)"""
    service_outage: Trouble = Trouble(6, 60, 0.95)
    """The service itself, for the control as well. (share: added)"""
    portal: Trouble = Trouble(4, 120, 1.0, 1.0)
    """A captive portal before one vantage. (added)"""
    proxy: Trouble = Trouble(0.5, 7 * 1440, 1.0)
    """A TLS-intercepting proxy or virus scanner, which the judge names. (added)"""
    clock: Trouble = Trouble(1, 600, 1.0)
    """A wrong clock, which the judge names. (added)"""
    control_outage: Trouble = Trouble(4, 120, 1.0)
    """The control reports nothing. (added)"""
    control_failure: float = 0.003
    """The control's own stray failures of one target in one round. (added)"""
    p0_mean: float = 0.02
    p0_shape: float = 0.25
    """Alpha of the Beta law of stray failure rates: most vantages far below the mean, a few far
    above. (the law and its mean: reference; its shape: added)"""
    p0_most: float = 0.30
    natural_signature: float = 0.04
    """Share of failures of any trouble that look like a block with a signature."""
    block_signature: float = 0.95
    """Share of a block with a signature's failures that carry its signature."""
    filter_signature: float = 0.25
    """Share of local filters that answer like a censor (forged DNS). (added)"""
    online_day: float = 0.98
    online_night: float = 0.80
    """Share of vantages that are on, by local hour; a cosine between, at its lowest at 4 h.
    (added: the reference knows none by default and 35 to 100 % as a case of its own)"""
    habits: bool = False
    """Whether it is always the same vantages that are off at an hour of the day, as where people
    turn a computer off for the night; else each hour draws them anew."""
    missed: float = 0.005
    """A measurement that never arrives. (added)"""


RATES = Rates()


@dataclass(frozen=True)
class Blocking:
    """What is assumed of blocks before anything is seen: the prior of an event's confidence.

    All of it is assumption (none of it was counted anywhere): where blocks are rarer, the same
    event deserves less confidence, by about the same factor in its odds.
    """

    yearly: float = 1.0
    """How often a service is blocked anew in a country."""
    national: float = 0.5
    """Share of blocks that all networks of the country carry out; else one does."""
    spread_minutes: float = 120.0
    """Within which the networks of a national block begin, uniform."""
    shortest_minutes: float = 60.0
    longest_minutes: float = 3 * 1440.0
    """A block lasts between these, uniform in the logarithm. Longer ones add nothing: what is
    said of them does not change any more."""
    kinds: tuple[tuple[float, float, bool], ...] = (
        (0.50, 0.98, True),
        (0.20, 0.98, False),
        (0.12, 0.60, True),
        (0.10, 0.50, False),
        (0.08, 0.20, True),
    )
    """(part of the blocks, share of measurements that fail, with a signature)."""
    patchy: float = 0.15
    """Share of blocks that only some vantages of a network meet: not every line has the box."""
    named: float = 0.8
    """Share of those by name that read it on the way to any host; others look at traffic to the
    service's addresses alone."""
    behind: float = 0.6
    """How many of its vantages meet a patchy one."""
    denied: float = 0.3
    """Share of those with a signature in which the networks' resolvers deny the name; `forged`:
    in which they give a false address. All others are by name, over TLS."""
    forged: float = 0.15
    reset: float = 0.3
    """Share of those without a signature in which connections are reset; else they are silent."""
    sooner: float = 0.5
    """Share of those by name that answer sooner than the server: it is farther away than twice
    whatever blocks."""
    before: float = 0.5
    """Share of those by name, or by refusing connections, whose hop can be found some hops before
    the server: routers tell."""
    zoneless: float = 0.6
    """Share of the resolvers' denials that have no zone."""
    on_path: float = 0.3
    """Share of the denials that are injected on the way, whichever resolver is asked."""
    two_ports: float = 0.7
    """Share of those of an address whose hosts answer at another port where nothing is in the
    way."""
    by_port: float = 0.1
    """Share of those that cut off one port of the address alone."""
    compared: float = 0.85
    """Share of those of an address beside which other resolvers answer, and what they give is
    tried."""
    spared: float = 0.05
    """Share of those in which that works: whoever blocks knows only what the networks' own
    resolvers give, or the service changes its addresses at that time."""
    shown: float = 0.9
    """Share of resolvers' lies beside which another resolver can be asked."""
    nobodys: float = 0.6
    """Share of the false addresses that show themselves as false: nobody can have them, a second
    answer comes, or they are a block page's that is known. Others are somebody's."""


BLOCKING = Blocking()
NETWORK_FAULTS = ("peering", "upstream", "national")
"""They are tried one by one in a world without them, and counted as often as they occur."""
