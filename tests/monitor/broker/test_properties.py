from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker import properties
from monitor.broker.properties import BodyReader, PacketError, Property

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
VALUES = {
    Property.PAYLOAD_FORMAT: st.integers(0, 1),
    Property.MESSAGE_EXPIRY: st.integers(0, 2**32 - 1),
    Property.CONTENT_TYPE: TEXT,
    Property.RESPONSE_TOPIC: TEXT,
    Property.CORRELATION_DATA: st.binary(max_size=30),
    Property.USER_PROPERTY: st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_is_forwarded_survives(values: dict[Property, object]) -> None:
    reader = BodyReader(properties.encode(values) + b"rest")
    assert reader.properties(properties.FORWARDED) == values
    assert reader.rest() == b"rest"


@given(st.integers(0, 268_435_455))
def test_variable_byte_integers(value: int) -> None:
    reader = BodyReader(properties.variable(value))
    assert (reader.variable(), reader.done) == (value, True)


@pytest.mark.parametrize("wrong", ["8000", "ffffffff", "80808080", "ff"])
def test_malformed_variable_byte_integers(wrong: str) -> None:
    with pytest.raises(PacketError):
        BodyReader(bytes.fromhex(wrong)).variable()


@given(st.binary(max_size=80))
def test_any_bytes_are_properties_or_an_error(body: bytes) -> None:
    try:
        BodyReader(body).properties(frozenset(Property))
    except PacketError:
        pass
