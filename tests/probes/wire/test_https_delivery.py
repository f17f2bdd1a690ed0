import pytest

from probes.wire.codec import WireError
from probes.wire.https_delivery import (
    PollAnswer,
    authorization,
    credentials,
    decode_answer,
    encode_answer,
)


@pytest.mark.parametrize("secret", ["plain", "with:colon", "пароль", ""])
def test_credentials_pass(secret: str) -> None:
    assert credentials(authorization("p-0123456789abcdef", secret)) == (
        "p-0123456789abcdef",
        secret,
    )


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!", "Basic /////w==", "Bearer YTpi", "Basic CTpi"]
)
def test_what_is_no_credentials_names_nobody(header: str) -> None:
    assert credentials(header) == ("", "")


def test_an_answer_of_a_later_version_is_read_and_nonsense_is_not() -> None:
    answer = PollAnswer(catalogue=b"\x00\xff")
    assert decode_answer(encode_answer(answer)) == answer
    assert decode_answer(b'{"v":2,"later":1}').retests == ()
    for body in (b"", b"[]", b'{"retests":1}', b"\xff"):
        with pytest.raises(WireError):
            decode_answer(body)
