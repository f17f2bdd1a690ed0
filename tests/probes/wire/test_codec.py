"""Any bytes give a value or a WireError; a round trip loses nothing, not even the unknown."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.wire import codec
from probes.wire.bounds import MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE_BYTES, MAX_OBSERVATIONS
from probes.wire.codec import BatchHeader, TooNewError, WireError
from probes.wire.measurement import EndpointRef, Measurement, Vantage
from probes.wire.observation import (
    AppExchange,
    Certificate,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    PathHop,
    PathTrace,
    Progress,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
    Unrecognised,
)

text = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x7f"), max_size=40
)
counts = st.integers(0, 2**40)
base = {
    "endpoint": text,
    "purpose": st.sampled_from(Purpose),
    "contrast": st.none() | st.sampled_from(Contrast),
    "at_us": counts,
    "took_us": counts,
    "failure": st.none() | text,
}
addresses = st.ip_addresses().map(str)
replies = st.builds(
    DNSReply,
    after_us=counts,
    rcode=st.integers(0, 15),
    answers=st.lists(addresses, max_size=3).map(tuple),
    cnames=st.lists(text, max_size=2).map(tuple),
)
observations = st.one_of(
    st.builds(
        DNSLookup,
        **base,
        name=text,
        qtype=st.sampled_from(["A", "AAAA"]),
        resolver=st.just("system"),
        replies=st.lists(replies, max_size=3).map(tuple),
    ),
    st.builds(TCPConnect, **base, address=addresses, port=st.integers(1, 65535)),
    st.builds(
        TLSHandshake,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        sni=text,
        chain=st.lists(
            st.builds(Certificate, sha256=st.just("ab" * 32), der=st.binary(max_size=50)),
            max_size=2,
        ).map(tuple),
    ),
    st.builds(
        HTTPExchange,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        host=text,
        excerpt=st.binary(max_size=40),
        title=st.none() | text,
    ),
    st.builds(
        QUICHandshake,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        sni=text,
        close_code=st.none() | counts,
    ),
    st.builds(
        Transfer,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        sni=text,
        received_bytes=counts,
        progress=st.lists(st.builds(Progress, at_us=counts, received_bytes=counts), max_size=3).map(
            tuple
        ),
    ),
    st.builds(
        AppExchange,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        protocol=st.just("stun"),
        spoke=st.booleans(),
        excerpt=st.binary(max_size=40),
    ),
    st.builds(
        PathTrace,
        **base,
        address=addresses,
        port=st.integers(1, 65535),
        sni=text,
        hops=st.lists(
            st.builds(PathHop, ttl=st.integers(1, 64), router=st.none() | addresses), max_size=3
        ).map(tuple),
    ),
    st.builds(
        Unrecognised,
        step=st.just("smoke"),
        raw=st.dictionaries(text, st.integers() | text, max_size=3).map(
            lambda fields: json.dumps({**fields, "step": "smoke"}).encode()
        ),
    ),
)
measurements = st.builds(
    Measurement,
    v=st.just(1),
    id=st.just("0" * 32),
    probe=st.just("p-" + "a" * 16),
    target=st.just("wechat/web"),
    round=counts,
    started=counts,
    vantage=st.builds(
        Vantage, country=st.sampled_from(["RU", "ZZ"]), asn=st.integers(0, 2**32 - 1)
    ),
    endpoints=st.lists(
        st.builds(EndpointRef, id=text, protocol=st.just("tls"), host=text), max_size=2
    ).map(tuple),
    observations=st.lists(observations, max_size=4).map(tuple),
)
SAMPLE = Measurement(
    v=1,
    id="0" * 32,
    probe="p-" + "a" * 16,
    target="wechat/web",
    round=1,
    started=1,
    observations=(TCPConnect(endpoint="a:1/tcp", address="192.0.2.1", port=443),),
)


@given(measurements)
def test_decode_undoes_encode(measurement: Measurement) -> None:
    line = codec.encode(measurement)
    assert b"\n" not in line
    assert codec.decode(line) == measurement
    assert codec.encode(codec.decode(line)) == line


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_wire_error(payload: bytes) -> None:
    for decode in (codec.decode, codec.decode_batch, codec.decode_ack, codec.decode_status):
        try:
            decode(payload)
        except WireError:
            continue


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"192.0.2.1", b"192.0.2.1\\u0000", "$.address"),
        (b'"port":443', b'"port":"443"', "$.port"),
        (b'"port":443', b'"port":70000', "$.port"),
        (b'"v":1', b'"v":2', "$.v"),
        (b'"round":1', b'"round":1e999', "$.round"),
        (b'"round":1', b'"round":NaN', "malformed"),
        (b"wechat/web", b"wechat/../web", "$.target"),
        (b'"step":"tcp"', b'"step":3', "observations[0]"),
        (b"p-aaaa", b"P-aaaa", "$.probe"),
    ],
)
def test_an_error_names_the_place(old: bytes, new: bytes, said: str) -> None:
    line = codec.encode(SAMPLE)
    assert old in line
    with pytest.raises(WireError) as caught:
        codec.decode(line.replace(old, new, 1))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_of_a_later_version_does_not_refuse_the_measurement() -> None:
    line = codec.encode(SAMPLE)
    assert codec.decode(line[:-1] + b',"later":{"x":1}}') == SAMPLE


@pytest.mark.parametrize("junk", [b"[" * 100_000, b'{"v":' * 50_000, b"x" * (MAX_LINE_BYTES + 1)])
def test_deep_and_long_input_is_refused(junk: bytes) -> None:
    with pytest.raises(WireError):
        codec.decode(junk)


UNKNOWN_END = codec.encode(
    msgspec.structs.replace(
        SAMPLE,
        endpoints=(EndpointRef(id="a:1/tcp", protocol="tcp"),),
        observations=(
            *SAMPLE.observations,
            Unrecognised(step="new", raw=b'{"step":"new","x":[1]}'),
        ),
    )
)
"""As an import writes it: the last step alone is unknown."""
NO_TEXT = [
    codec.encode(SAMPLE)[:-1] + b',"later":"\xcb"}',
    UNKNOWN_END.replace(b'"x":[1]', b'"x":"\xcb"'),
]


@pytest.mark.parametrize("line", NO_TEXT, ids=["unknown field", "unknown step"])
def test_bytes_that_are_no_text_are_refused_where_nobody_asks_for_them(line: bytes) -> None:
    for read in (codec.decode, codec.decode_envelope, lambda line: codec.decode_envelopes([line])):
        assert read(line.replace(b"\xcb", "é".encode()))
        with pytest.raises(WireError, match=r"not UTF-8: .* at byte \d+"):
            read(line)


def test_batch_round_trip_and_its_refusals() -> None:
    header = BatchHeader(boot="b1", sequence=7)
    line = codec.encode(SAMPLE)
    payload = codec.encode_batch(header, [line, line])
    assert codec.decode_batch(payload) == codec.Batch(header=header, lines=(line, line))
    for bad in (payload[:-1], payload + b"x", b"", b"\x00" * 20):
        with pytest.raises(WireError):
            codec.decode_batch(bad)
    with pytest.raises(TooNewError):
        codec.decode_batch(codec.encode_batch(BatchHeader(v=2, boot="b", sequence=1), [line]))
    with pytest.raises(WireError, match="lines"):
        codec.decode_batch(codec.encode_batch(header, [b"{}"] * (MAX_BATCH_LINES + 1)))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"wanted", b"b", b"c"],
        [b"a", b"a wanted one, wanted twice", b"", b"wanted too", b"e"],
        [b"a", b"b", b"the last is wanted"],
        [b"wan\nted", b"none"],
        [b"a", b"\\u0077anted", b"wanted", b"d"],
    ],
    ids=["no lines", "first", "twice in a line", "last", "over two lines", "escaped"],
)
def test_lines_that_hold_a_text_have_their_places(lines: list[bytes]) -> None:
    payload = codec.encode_batch(BatchHeader(boot="wanted", sequence=7), lines)
    sent = codec.decode_batch(payload).lines
    assert codec.lines_holding(payload, b"wanted") == [
        (place, line) for place, line in enumerate(sent) if b"wanted" in line or b"\\" in line
    ]
    with pytest.raises(WireError):
        codec.lines_holding(payload[:-1], b"wanted")


def test_a_zip_bomb_is_refused_without_being_inflated() -> None:
    bomb = codec.zstd.compress(b"0" * (MAX_BATCH_BYTES * 20))
    assert len(bomb) < 100_000
    with pytest.raises(WireError, match="after decompression"):
        codec.decode_batch(bomb)


def test_a_batch_of_empty_lines_is_refused_without_being_split() -> None:
    lines = MAX_BATCH_BYTES - 1000
    payload = codec.encode_batch(BatchHeader(boot="b", sequence=1), [b""] * lines)
    assert len(payload) < 1000
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match=f"batch of {lines} lines"):
            codec.decode_batch(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The bytes, and once more what is after the header; a list of the lines would be 64 MB.
    assert peak < 3 * MAX_BATCH_BYTES


def test_read_lines_numbers_what_it_reads() -> None:
    good = codec.encode(SAMPLE)
    rows = list(codec.read_lines([good + b"\n", b"\n", b"{}\n"]))
    assert rows[0] == (1, SAMPLE)
    assert rows[1][0] == 3
    assert isinstance(rows[1][1], WireError)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_step_that_is_unknown_changes_nothing_beside_it(place: int) -> None:
    known = [
        TCPConnect(endpoint=f"a:{port}/tcp", address="192.0.2.1", port=port) for port in (1, 2, 3)
    ]
    unknown = Unrecognised(step="ooni.run", raw=b'{"left":{"step":"tcp"},"step":"ooni.run"}')
    some = (*known[:place], unknown, *known[place:])
    line = codec.encode(msgspec.structs.replace(SAMPLE, observations=some))
    assert codec.decode(line).observations == some
    broken = line.replace(b'"port":2', b'"port":-2')
    with pytest.raises(WireError, match=rf"observations\[{1 + (place <= 1)}\].*port"):
        codec.decode(broken)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"x":[1]', b'"x":{"step":"new"}'),
        (b'"x":[1]', b'"x":"\\"observations\\":["'),
        (b'"x":[1]', b'"observations":[]'),
        (b'"x":[1]', b'"step":"tcp"'),
        (b'"x":[1]}]}', b'"x":[1]}],"endpoints":[{"step":"new","id":"b:1/tcp","protocol":"tcp"}]}'),
        (b'"x":[1]}]}', b'"x":[1]}],"later":[{"observations":[{"step":"tcp"}]}]}'),
        (b'"observations":[', b'"observations":[{"step":"new","observations":[]},'),
        (b'"observations":[', b'"later":{"observations":[]},"observations":['),
        (b'"endpoints":[', b'"observations":[{"step":"new"}],"endpoints":['),
        (b'"port":443},', b'"port":443}'),
        (b'"observations":[', b'"observations":[,'),
        (b'"port":443', b'"port":-1'),
        (b"a:1/tcp", b"a\\u0000"),
        (b'"x":[1]}', b'"x":[1}'),
        (b'"v":1', b'"v":2'),
        (b'"step":"new"', b'"step":"tcp"'),
        (b'"step":"new"', b'"step":"a b"'),
    ],
)
def test_the_quick_way_reads_what_the_slow_one_does(
    old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert old in UNKNOWN_END
    line = UNKNOWN_END.replace(old, new, 1)

    def read() -> Measurement | str:
        try:
            return codec.decode(line)
        except WireError as error:
            return str(error)

    quick = read()
    monkeypatch.setattr(codec, "_with_unknown_end", lambda line: None)
    assert read() == quick


def test_the_quick_way_is_taken_and_keeps_to_the_most_observations() -> None:
    assert codec._with_unknown_end(UNKNOWN_END) == codec.decode(UNKNOWN_END)
    unknown = Unrecognised(step="new", raw=b'{"step":"new"}')
    many = (*SAMPLE.observations * MAX_OBSERVATIONS, unknown)
    line = codec.encode(msgspec.structs.replace(SAMPLE, observations=many))
    with pytest.raises(WireError, match="length"):
        codec.decode(line)


def test_an_observation_that_names_two_steps_is_read_as_ever() -> None:
    twice = b'{"step":"tcp","endpoint":"a:1/tcp","address":"192.0.2.1","port":1,"step":"later"}'
    line = codec.encode(SAMPLE)
    line = line.replace(b'"observations":[', b'"observations":[%b,{"step":"new"},' % twice)
    assert codec.decode(line).observations[0] == Unrecognised(step="later", raw=twice)
