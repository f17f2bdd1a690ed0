import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.wire.enrolment_token import EnrolmentToken, TokenError, encode_token, parse_token


def encoded(text: bytes) -> str:
    return "rch1." + base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_a_token_survives_its_text() -> None:
    token = EnrolmentToken(url="https://collector.example/base/", id="abc", secret="s~ÿ")
    text = encode_token(token)
    assert parse_token(f"  {text}\n") == token
    assert parse_token(f"{text[:40]}\r\n {text[40:]}") == token, "as mail programs break it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with rch1."),
        ("rch2.abc", "must begin with rch1."),
        ("rch1.", "damaged"),
        ("rch1.%%%", "damaged"),
        ("rch1.ünicode", "damaged"),
        (encoded(b"{"), "damaged"),
        (encoded(b'{"url": "http://x", "id": "a"}'), "damaged"),
        (encoded(b"[" * 100_000), "damaged"),
    ],
)
def test_bad_tokens_are_one_line(text: str, words: str) -> None:
    with pytest.raises(TokenError, match=f"^token: {words}") as caught:
        parse_token(text)
    assert "\n" not in str(caught.value)


@given(st.one_of(st.text(), st.binary().map(lambda b: "rch1." + base64.b64encode(b).decode())))
def test_any_text_is_a_token_or_one_line(text: str) -> None:
    try:
        parse_token(text)
    except TokenError as error:
        line = str(error)
        assert "\n" not in line
