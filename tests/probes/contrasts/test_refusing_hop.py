"""When it is looked for who refuses connections, against a closed port here."""

from __future__ import annotations

from typing import Any

import pytest

from probes.contrasts import partial_loss
from probes.steps import refusal
from probes.steps.context import StepContext
from probes.wire.observation import AnyObservation, PathTrace, Purpose
from probes.wire.target import Endpoint
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.tls_server import serve, silence

SERVICE = "127.0.0.1"


async def measured(connects: int = 1, **course: Any) -> tuple[int, list[AnyObservation]]:
    """The port that is closed, and what was seen of so many addresses there."""
    async with serve(silence, wait_for_bytes=False) as server:
        port = server.port
    async with internet({"srv.test": Address(SERVICE)}) as net:
        run = net.run(Endpoint(host="srv.test", port=port, protocol="tcp"), **course)
        for last in range(1, connects + 1):
            (await partial_loss.connect(run, f"127.0.0.{last}")).close()
    return port, run.observations


async def test_who_refuses_is_looked_for_once_an_endpoint():
    port, seen = await measured(connects=2, alive=[("127.0.0.4", 443)])
    traces = [o for o in seen if isinstance(o, PathTrace)]
    (trace,) = traces
    assert (trace.address, trace.port, trace.purpose) == (SERVICE, port, Purpose.CONTRAST)
    assert (trace.hops[0].ttl, trace.hops[0].syn) == (1, "reset")
    # The innocuous host refuses at the same hop, as all do here.
    assert trace.evidence == ()


@pytest.mark.parametrize(
    "course",
    [{"control": True}, {"contrasts": False}, {"repeats": False}],
    ids=lambda course: "".join(course),
)
async def test_nor_is_it_at_other_times(course: dict[str, Any]):
    _, seen = await measured(**course)
    assert not any(isinstance(o, PathTrace) for o in seen)


@pytest.mark.parametrize("failed_last_round", [False, True])
async def test_later_it_is_looked_for_near_the_vantage_alone(
    failed_last_round: bool, monkeypatch: pytest.MonkeyPatch
):
    asked: dict[str, Any] = {}

    async def trace(step: StepContext, **options: Any) -> PathTrace:
        asked.update(options)
        return PathTrace(**step.fields(0, 0), sni="")

    monkeypatch.setattr(refusal, "trace", trace)
    await measured(failed_last_round=failed_last_round, alive=[("127.0.0.4", 443)] * 4)
    assert asked["farthest"] == (4 if failed_last_round else 16)
    assert asked["innocuous"] == [("127.0.0.4", 443)] * 3
