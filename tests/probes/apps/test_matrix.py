"""A homeserver's versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.apps import matrix
from probes.apps.matrix import reading
from probes.apps.opening import MAX_ANSWER, Spoken, Unspoken

BODY = b'{"versions": ["v1.1", "v1.11"], "unstable_features": {}}'
OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = OK + b"Content-Length: %d\r\nServer: x\r\n\r\n" % len(BODY) + BODY
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def test_what_is_said():
    hello = matrix.opening("matrix.test").hello
    assert hello.startswith(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.test\r\n")
    assert hello.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ANSWER, Spoken("versions")),
        (CHUNKED + b"10\r\n" + BODY[:16] + b"\r\n%x;a=b\r\n" % len(BODY[16:]) + BODY[16:]
         + b"\r\n0\r\n\r\n", Spoken("versions")),
        (CHUNKED + b"10\r\n" + BODY[:16], Unspoken.MORE),
        (OK + b"Content-Length: 2\r\n\r\n{}", Unspoken.FOREIGN),
        (OK + b"Content-Length: 2\r\n\r\n[]", Unspoken.FOREIGN),
        (OK + b"Content-Length: 3\r\n\r\nno!", Unspoken.FOREIGN),
        (b"HTTP/1.1 451 No\r\nContent-Length: 0\r\n\r\n", Unspoken.FOREIGN),
        (b"220 mail.test", Unspoken.FOREIGN),
        (OK + b"x: " + b"x" * MAX_ANSWER, Unspoken.FOREIGN),
        (OK + b"\r\n" + b"x" * MAX_ANSWER, Unspoken.FOREIGN),
        (b"", Unspoken.MORE),
    ],
)  # fmt: skip
def test_answers(answer: bytes, said: object):
    assert reading(answer) == said


def test_every_beginning_of_an_answer_may_become_one():
    assert {reading(ANSWER[:n]) for n in range(len(ANSWER))} == {Unspoken.MORE}


@given(st.binary(max_size=200))
def test_any_bytes_have_a_reading(noise: bytes):
    for head in (b"", OK, CHUNKED, OK + b"Content-Length: 9\r\n\r\n"):
        assert isinstance(reading(head + noise), Spoken | Unspoken)
