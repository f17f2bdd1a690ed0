"""Another port of the address at which a connect failed, against servers here."""

from __future__ import annotations

from typing import Any

import pytest

from probes.contrasts import other_port, partial_loss
from probes.wire.failure import Failure
from probes.wire.observation import OTHER_PORT, Purpose, TCPConnect
from probes.wire.target import Endpoint
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.tls_server import serve, silence

SERVICE = "127.0.0.1"


async def connected(port: int, *addresses: str, **course: Any) -> list[TCPConnect]:
    """Connects to another port beside those to the service's."""
    async with internet({"srv.test": Address(SERVICE)}) as net:
        run = net.run(Endpoint(host="srv.test", port=port, protocol="tcp"), **course)
        for address in addresses or (SERVICE,):
            (await partial_loss.connect(run, address)).close()
        seen = [o for o in run.observations if isinstance(o, TCPConnect)]
        return [o for o in seen if OTHER_PORT in o.evidence]


async def closed_port() -> int:
    async with serve(silence, wait_for_bytes=False) as server:
        return server.port


@pytest.mark.parametrize(("port", "other"), [(None, 443), (443, 80), (80, 443)])
async def test_where_a_connect_fails_the_same_address_is_tried_at_another_port(
    port: int | None, other: int
) -> None:
    (beside,) = await connected(port or await closed_port())
    assert (beside.address, beside.port) == (SERVICE, other)
    assert (beside.purpose, beside.contrast, beside.evidence[-1:]) == (
        Purpose.CONTRAST,
        None,
        (OTHER_PORT,),
    )
    assert beside.failure == Failure.REFUSED, "nobody serves it, and the host is reached"


@pytest.mark.parametrize(("control", "times"), [(False, 0), (True, 1)])
async def test_where_it_works_controls_alone_try_it(control: bool, times: int) -> None:
    async with serve(silence, SERVICE) as server:
        assert len(await connected(server.port, control=control)) == times


async def test_a_few_addresses_are_tried_once_each() -> None:
    port, addresses = await closed_port(), ("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    beside = await connected(port, *addresses)
    assert [o.address for o in beside] == ["127.0.0.2", "127.0.0.3"]
    beside = await connected(port, *addresses, control=True)
    assert [o.address for o in beside] == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert len(beside) < other_port.MOST_AT_CONTROL


async def test_liveness_makes_no_such_contrast() -> None:
    assert not await connected(await closed_port(), contrasts=False)
