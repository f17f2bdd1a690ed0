"""`tcp` connects to every address of either family and says nothing."""

from __future__ import annotations

import socket

from probes.protocols import tcp
from probes.wire.observation import Contrast, PathTrace, TCPConnect
from probes.wire.target import Endpoint
from tests.world.dns_server import Address
from tests.world.loopback import internet
from tests.world.tls_server import serve, silence


async def test_every_address_is_dialled():
    async with (
        serve(silence, "127.0.0.1", wait_for_bytes=False) as first,
        serve(silence, "127.0.0.2", first.port, wait_for_bytes=False),
        serve(silence, "::1", first.port, wait_for_bytes=False),
        internet({"wechat.test": Address("127.0.0.1", "127.0.0.2", "::1")}) as net,
    ):
        run = net.run(Endpoint(host="wechat.test", port=first.port, protocol="tcp"))
        await tcp.measure(run)
        assert [(o.address, o.failure) for o in run.observations] == [
            ("127.0.0.1", None),
            ("127.0.0.2", None),
            ("::1", None),
        ]


async def test_a_closed_port_is_tried_twice_and_an_address_needs_no_name():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with internet({}) as net:
            port = free.getsockname()[1]
            run = net.run(Endpoint(address="127.0.0.1", port=port, protocol="tcp"))
            await tcp.measure(run)
            *seen, trace = await net.finish(run)
    assert [type(o) for o in seen] == [TCPConnect] * 3
    assert isinstance(trace, PathTrace)
    assert [o.contrast for o in seen] == [None, Contrast.REPEAT, None]
    assert [o.port == port for o in seen] == [True, True, False], "the last at another port"
    assert {o.failure for o in seen} == {"connection_refused"}


async def test_an_answer_that_the_reference_resolver_does_not_give_is_compared():
    async with (
        serve(silence, "127.0.0.66", wait_for_bytes=False) as forged,
        serve(silence, "127.0.0.1", forged.port, wait_for_bytes=False),
        internet(
            {"wechat.test": Address("127.0.0.66")},
            reference={"wechat.test": Address("127.0.0.1")},
            secure=True,
        ) as net,
    ):
        run = net.run(Endpoint(host="wechat.test", port=forged.port, protocol="tcp"))
        await tcp.measure(run)
        assert not run.means.dns_cache.widened("wechat.test")
        assert [o.address for o in run.observations] == ["127.0.0.66", "127.0.0.1"]
