"""The greeting of an XMPP server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.apps import xmpp
from probes.apps.opening import MAX_ANSWER, Spoken, Unspoken
from probes.apps.xmpp import reading

STREAM = b"<?xml version='1.0'?><stream:stream id='1' version='1.0'>"
TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def test_what_is_said():
    hello = xmpp.opening("chat.test").hello
    assert b"to='chat.test'" in hello
    assert b"xmlns='jabber:client'" in hello
    assert hello.endswith(b"streams'>")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (STREAM + b"<stream:features>" + TLS + b"</stream:features>",
         Spoken("features", ("starttls",))),
        (STREAM + b"<stream:features></stream:features>", Spoken("features")),
        (STREAM + b"<stream:features/>", Spoken("features")),
        (STREAM + b"<stream:error><host-unknown/></stream:error>", Spoken("stream_error")),
        (STREAM + b"<stream:features>", Unspoken.MORE),
        (b"", Unspoken.MORE),
        (b"<str", Unspoken.MORE),
        (b"<html>", Unspoken.FOREIGN),
        (b"HTTP/1.1 400 Bad Request", Unspoken.FOREIGN),
        (STREAM + b"x" * MAX_ANSWER, Unspoken.FOREIGN),
    ],
)  # fmt: skip
def test_answers(answer: bytes, said: object):
    assert reading(answer) == said


@given(st.binary(max_size=200))
def test_any_bytes_have_a_reading(noise: bytes):
    assert isinstance(reading(noise), Spoken | Unspoken)
    assert isinstance(reading(STREAM + noise), Spoken | Unspoken)
