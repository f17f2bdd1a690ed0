"""The greeting of an XMPP server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import xmpp
from probes.protocols.xmpp import parse
from probes.steps.app import MAX_REPLY_BYTES, NoReply, Reply

STREAM = b"<?xml version='1.0'?><stream:stream id='1' version='1.0'>"
TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def test_the_request():
    hello = xmpp.request("chat.test").payload
    assert b"to='chat.test'" in hello
    assert b"xmlns='jabber:client'" in hello
    assert hello.endswith(b"streams'>")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (STREAM + b"<stream:features>" + TLS + b"</stream:features>",
         Reply("features", ("starttls",))),
        (STREAM + b"<stream:features></stream:features>", Reply("features")),
        (STREAM + b"<stream:features/>", Reply("features")),
        (STREAM + b"<stream:error><host-unknown/></stream:error>", Reply("stream_error")),
        (STREAM + b"<stream:features>", NoReply.INCOMPLETE),
        (b"", NoReply.INCOMPLETE),
        (b"<str", NoReply.INCOMPLETE),
        (b"<html>", NoReply.FOREIGN),
        (b"HTTP/1.1 400 Bad Request", NoReply.FOREIGN),
        (STREAM + b"x" * MAX_REPLY_BYTES, NoReply.FOREIGN),
    ],
)  # fmt: skip
def test_answers(answer: bytes, said: object):
    assert parse(answer) == said


@given(st.binary(max_size=200))
def test_any_bytes_can_be_parsed(noise: bytes):
    assert isinstance(parse(noise), Reply | NoReply)
    assert isinstance(parse(STREAM + noise), Reply | NoReply)
