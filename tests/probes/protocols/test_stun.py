"""The Binding request, and what counts as its answer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import stun
from probes.steps.app import NoReply, Reply
from probes.wire.observation import AppExchange
from probes.wire.target import Endpoint
from tests.world import app_servers
from tests.world.app_servers import answer
from tests.world.dns_server import Address
from tests.world.loopback import internet

ID = bytes(range(12))


def message(kind: int = 0x0101, body: bytes = b"", transaction: bytes = ID) -> bytes:
    return struct.pack("!HHI", kind, len(body), 0x2112A442) + transaction + body


def test_the_request():
    request = stun.request()
    assert len(request.payload) == 20
    assert request.payload[:8] == bytes.fromhex("000100002112a442")
    assert request.payload != stun.request().payload
    assert request.parse(app_servers.stun(request.payload)) == Reply("binding_success")


def test_the_volunteers_address_is_never_quoted():
    assert not stun.request().quotable


@pytest.mark.parametrize(
    ("datagram", "reading"),
    [
        (message(), Reply("binding_success")),
        (message(body=bytes(12)), Reply("binding_success")),
        (message(0x0111), Reply("binding_error")),
        (message(0x0001), NoReply.FOREIGN),
        (message(transaction=bytes(12)), NoReply.FOREIGN),
        (message()[:-1], NoReply.FOREIGN),
        (message() + b"\0", NoReply.FOREIGN),
        (message(body=b"\0"), NoReply.FOREIGN),
        (b"", NoReply.FOREIGN),
    ],
)
def test_answers(datagram: bytes, reading: object):
    assert stun.parse(datagram, ID) == reading


@given(st.binary(max_size=100))
def test_any_datagram_has_a_reading(noise: bytes):
    assert isinstance(stun.parse(noise, ID), Reply | NoReply)


async def test_measured():
    async with (
        answer(app_servers.stun) as server,
        internet({"calls.test": Address("127.0.0.1")}) as net,
    ):
        run = net.run(Endpoint(host="calls.test", port=server.port, protocol="stun"))
        await stun.measure(run)
    (said,) = run.observations
    assert isinstance(said, AppExchange)
    assert (said.spoke, said.reply, said.excerpt) == (True, "binding_success", b"")
