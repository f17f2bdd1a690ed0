# SPDX-License-Identifier: Apache-2.0
"""Worlds that the weights of the confidence are never fitted to: situations that came to mind after
the fit, so that they say what it is worth where nobody thought of them before.

All rates and bounds are assumptions; no source counts how often these occur.
"""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.world.hazard import CALM, DAY_MINUTES, Draw, Hazard, Reach, World, of
from benchmarks.world.rates import BLOCKING
from benchmarks.world.verdicts import Look


def _moved_edges(rng: random.Random) -> Hazard:
    return Hazard(
        "a service moves its edges",
        rng.uniform(1.0, 4.0),
        rng.choice((Look.SILENT, Look.RESET)),
        # For as long as resolvers, and devices at home, keep the old addresses.
        (rng.uniform(10, 120), 0.8),
        fails=(0.3, 1.0),
        reach=Reach.COUNTRY,
        answers=0.2,
        spread_minutes=rng.uniform(60, 360),
        # The old hoster's border refuses, some hops before where the servers were.
        shows=(("before", rng.uniform(0.0, 0.05)),),
        # Other resolvers have the new answers once their copies of the old ones have expired.
        moves=(rng.uniform(0.2, 0.95), rng.uniform(0.0, 0.5)),
    )


def _resolver_operator(rng: random.Random) -> Hazard:
    return Hazard(
        "an operator of resolvers fails for one name",
        rng.uniform(0.5, 3.0),
        rng.choice((Look.SERVFAIL, Look.DENIED)),
        (rng.uniform(20, 180), 1.0),
        fails=(0.5, 1.0),
        reach=Reach.SCATTERED,
        shows=(
            *(("zoneless", rng.uniform(0.0, 0.3)), ("others", 0.95)),
            # Its addresses are in the list of public resolvers.
            ("public", rng.uniform(0.5, 0.95)),
        ),
    )


def _faulty_release(rng: random.Random) -> Hazard:
    return Hazard(
        "a release of the probe is faulty",
        rng.uniform(0.2, 1.0),
        rng.choice((Look.SILENT, Look.RESET, Look.NAMED)),
        (rng.uniform(300, 3000), 0.7),
        longest=7 * DAY_MINUTES,
        fails=(0.9, 1.0),
        reach=Reach.SCATTERED,
        answers=0.95,
        # The volunteers' machines update themselves within hours of each other.
        spread_minutes=rng.uniform(30, 720),
        release="3",
    )


def _ports_of_a_nat(rng: random.Random) -> Hazard:
    return Hazard(
        "a carrier's NAT has no ports left",
        rng.uniform(0.5, 3.0),
        Look.SILENT,
        (5 * DAY_MINUTES, 0.5),
        longest=14 * DAY_MINUTES,
        fails=(0.2, 0.6),
        hours=(18, 24),
        answers=1.0,
        hosts=1.0,
    )


def _closed_port(rng: random.Random) -> Hazard:
    return Hazard(
        "a service closes an old port",
        rng.uniform(0.2, 1.0),
        rng.choice((Look.SILENT, Look.RESET, Look.ALERT)),
        # For ever; after a day nothing new is said.
        (DAY_MINUTES, 0.0),
        fails=(0.97, 1.0),
        reach=Reach.COUNTRY,
        # Open for other countries still, or shut for the controls as well.
        answers=0.7,
        spread_minutes=rng.choice((0.0, rng.uniform(5, 240))),
        shows=(("before", rng.uniform(0.0, 0.05)),),
        port_alone=rng.uniform(0.3, 0.95),
    )


def _retired_name(rng: random.Random) -> Hazard:
    """Its servers answer with an alert where the name is shown to them, and with a certificate
    where another one is."""
    return replace(
        _closed_port(rng), name="a service retires a name", looks=Look.NAME_ALERT, shows=()
    )


def _refusing_edges(rng: random.Random) -> Hazard:
    """Its protection against attacks, or a wrong configuration: other names pass there."""
    return Hazard(
        "edges of a service refuse its name to a region",
        rng.uniform(0.05, 0.5),
        Look.NAMED,
        (rng.uniform(30, 300), 1.0),
        fails=(0.5, 1.0),
        reach=Reach.COUNTRY,
        answers=0.9,
        spread_minutes=rng.choice((0.0, rng.uniform(30, 360))),
        shows=(("sooner", rng.uniform(0.0, 0.02)), ("before", rng.uniform(0.0, 0.05))),
        by_service=True,
    )


def _shield(rng: random.Random) -> World:
    """A service sends the traffic of a region through a centre near it that keeps attacks away,
    with a rule that refuses the service's own name."""
    shield = replace(
        _refusing_edges(rng),
        name="a shield near a region refuses the name",
        yearly=rng.uniform(0.02, 0.2),
        minutes=(rng.uniform(60, 600), 1.0),
        spread_minutes=rng.choice((0.0, rng.uniform(10, 120))),
        spread_days=rng.choice((0.0, rng.uniform(0.01, 0.2))),
        # It is nearer than half of the way from some networks alone, and routers tell of some.
        shows=(("sooner", rng.uniform(0.0, 0.3)), ("before", rng.uniform(0.0, 0.3))),
    )
    return World(CALM, (shield,), sizes=(3, 5), countries=3)


def _mistaken_zone(rng: random.Random) -> Hazard:
    return Hazard(
        "resolvers of a country keep a denial",
        rng.uniform(0.1, 0.6),
        Look.DENIED,
        (rng.uniform(10, 60), rng.uniform(0.5, 1.0)),
        longest=180.0,
        fails=(0.6, 1.0),
        reach=Reach.COUNTRY,
        # Each asked within the minutes in which the zone was wrong, or soon afterwards.
        spread_minutes=rng.choice((0.0, rng.uniform(5, 30))),
        shows=(("zoneless", rng.uniform(0.0, 0.02)), ("others", 0.95)),
    )


def _denied_country(rng: random.Random) -> Hazard:
    return replace(
        _mistaken_zone(rng),
        name="the service's own servers deny it to a country",
        yearly=rng.uniform(0.05, 0.3),
        minutes=(rng.uniform(60, 300), 1.2),
        longest=14 * DAY_MINUTES,
        # A public resolver may pass a part of the client's address on.
        shows=(("zoneless", rng.uniform(0.0, 0.02)), ("others", rng.uniform(0.2, 0.8))),
    )


def _lapsed_domain(rng: random.Random) -> World:
    """Resolvers that learn of it give the new holder's address, for all names below as well."""
    lapse = Hazard(
        "a domain lapses or is taken over",
        rng.uniform(0.01, 0.1),
        Look.FORGED,
        # Until it is bought back, and for as long as resolvers keep what they were told.
        (rng.uniform(60, 600), 0.8),
        longest=2 * DAY_MINUTES,
        fails=(0.5, 1.0),
        reach=Reach.COUNTRY,
        spread_minutes=rng.uniform(30, 600),
        spread_days=rng.uniform(0.05, 0.4),
        # Only where all public resolvers have learnt of it in clear text, and none encrypted.
        shows=(("forged", rng.uniform(0.0, 0.05)), ("others", rng.uniform(0.3, 0.95))),
    )
    return World(CALM, (lapse,), sizes=(3, 5), countries=3)


def _filter_of_a_line(rng: random.Random) -> World:
    """Networks of two, whose owners share a line."""
    one = Hazard(
        "one filter before two owners",
        rng.uniform(0.02, 0.15),
        Look.FORGED,
        (3 * DAY_MINUTES, 1.0),
        longest=7 * DAY_MINUTES,
        fails=(0.97, 1.0),
        reach=Reach.SOME,
        shows=(("forged", 0.9), ("others", 0.95)),
    )
    return World(CALM, (one,), sizes=(2, 2, 2))


def _foreign_exit(rng: random.Random) -> Hazard:
    """What fails is true, where is not."""
    return Hazard(
        "vantages behind a VPN into a country that blocks",
        rng.uniform(0.02, 0.15),
        Look.NAMED,
        (rng.uniform(300, 3000), 1.0),
        longest=7 * DAY_MINUTES,
        fails=(0.95, 1.0),
        reach=Reach.SOME,
        answers=1.0,
        shows=(("sooner", 0.5), ("before", 0.5)),
    )


def _filter_by_update(rng: random.Random) -> World:
    """Of a program on the volunteers' machines, which ends connections at once."""
    update = Hazard(
        "an update brings a filter to some machines",
        rng.uniform(0.1, 1.0),
        Look.NAMED,
        (rng.uniform(120, 1500), 0.8),
        longest=7 * DAY_MINUTES,
        fails=(0.97, 1.0),
        reach=Reach.SCATTERED,
        answers=1.0,
        spread_minutes=rng.uniform(10, 600),
        shows=(("sooner", 0.9),),
    )
    return World(CALM, (update,), sizes=(3, 5, 8))


def _moving_port(rng: random.Random) -> World:
    """The same port, closed in one country after the other."""
    port = replace(
        _closed_port(rng),
        name="a service closes an old port country by country",
        looks=Look.SILENT,
        minutes=(30 * DAY_MINUTES, 0.0),
        longest=30 * DAY_MINUTES,
        spread_minutes=rng.uniform(60, 720),
        spread_days=rng.uniform(2, 10),
    )
    return World(CALM, (port,), sizes=(3, 3), countries=4)


def _power_cut(rng: random.Random) -> Hazard:
    return Hazard(
        "a power cut in a city",
        rng.uniform(1.0, 6.0),
        Look.SILENT,
        (rng.uniform(30, 240), 0.8),
        fails=(0.8, 1.0),
        reach=Reach.SCATTERED,
        answers=1.0,
        hosts=1.0,
    )


def _by_plan(rng: random.Random) -> World:
    """Blocks of subscribers to some plans, and faults that concern some lines as well."""
    some = Hazard(
        "a fault of some lines to the service",
        rng.uniform(0.5, 3.0),
        Look.SILENT,
        (rng.uniform(20, 120), 1.0),
        reach=Reach.SOME,
        answers=0.95,
    )
    return World(CALM, (some,), blocks=replace(BLOCKING, patchy=1.0, behind=rng.uniform(0.3, 0.7)))


UNFITTED: dict[str, Draw] = {
    "edges of a service move": of(_moved_edges),
    "an operator of resolvers": of(_resolver_operator),
    "a faulty release of the probe": of(_faulty_release),
    "a NAT without ports": of(_ports_of_a_nat),
    "an old port is closed": of(_closed_port),
    "an old port is closed by country": _moving_port,
    "a name is retired": of(_retired_name),
    "power cuts": of(_power_cut),
    "edges refuse a name": of(_refusing_edges),
    "a zone is wrong for minutes": of(_mistaken_zone),
    "a service denies a country": of(_denied_country),
    "a shield": _shield,
    "a domain lapses": _lapsed_domain,
    "a filter before two owners": _filter_of_a_line,
    "a way out into another country": of(_foreign_exit),
    "a filter on some machines": _filter_by_update,
    "blocks by subscriber plan": _by_plan,
}
