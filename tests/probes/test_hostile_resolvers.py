"""Resolvers over encrypted channels that mean harm: the round ends in time all the same."""

from __future__ import annotations

import logging
import random
import time

import pytest
from msgspec.structs import replace

from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import DNSLookup
from probes.wire.target import Resolver
from tests.probes.test_hostile import (
    CA,
    HOSTILE,
    HOSTILE_H2,
    MOST_SECONDS,
    NAME,
    TIMEOUTS,
    harmful,
    target,
)
from tests.world.dns_server import Rcode
from tests.world.loopback import internet

EVERY = HOSTILE | HOSTILE_H2


@pytest.mark.parametrize("harm", EVERY)
async def test_doh_and_dot(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    emitted: list[Measurement] = []
    async with (
        harmful(EVERY[harm], "h2", "dot") as (doh, dot),
        internet({NAME: Rcode("NXDOMAIN")}) as lab,
    ):
        resolver = Resolver(
            id="harm",
            doh=f"https://{NAME}:{doh}/dns-query",
            doh_address="127.0.0.1",
            doh_trust=CA.pem,
            dot=f"127.0.0.1:{dot}",
            dot_name=NAME,
            dot_trust=CA.pem,
        )
        begun = time.monotonic()
        await measure_round(
            lab.setup(timeouts=TIMEOUTS, catalogue=replace(lab.catalogue, resolvers=(resolver,))),
            RoundPlan(targets=[target(9, "tls")], round_ms=1_795_521_600_000, interval_ms=0),
            emit=emitted.append,
            rng=random.Random(1),
        )
        assert time.monotonic() - begun < MOST_SECONDS
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR and "probes" in r.name]
    (seen,) = emitted
    assert decode(encode(seen)) == seen
    lookups = [o for o in seen.observations if isinstance(o, DNSLookup)]
    secure = [o for o in lookups if o.transport in ("doh", "dot")]
    assert {o.transport for o in secure} == {"doh", "dot"}
    assert all(o.failure is not None for o in secure)
