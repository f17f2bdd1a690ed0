"""The volunteer's own addresses and names never leave, and facts stay."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.privacy import scrub as scrubbing
from probes.privacy.scrub import scrub
from probes.wire.codec import decode, encode
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement, Vantage
from probes.wire.observation import (
    Certificate,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    PathHop,
    PathTrace,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

V4 = "81.2.69.142"
V6 = "2a02:8108:9640:1d00:a1b2:3c4d:5e6f:7081"
HOME = "192.168.178.23"
NAMES = ("kallisto", "kallisto.fritz.box")
OWN = (V4, V6, HOME, *NAMES, "127.0.0.1", "::1", "localhost")


def measured(*observations, endpoints=()) -> Measurement:
    return Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="signal/chat",
        round=0,
        started=0,
        vantage=Vantage(country="DE", asn=64501),
        endpoints=endpoints,
        observations=observations,
    )


def page(text: str = "", **fields) -> HTTPExchange:
    return HTTPExchange(
        endpoint="e", address="192.0.2.1", port=80, host="chat.example", title=text, **fields
    )


def scrubbed(*observations, own=OWN, endpoints=()) -> Measurement:
    """Scrub, and see that what is left still travels."""
    seen = scrub(measured(*observations, endpoints=endpoints), own)
    assert decode(encode(seen)) == seen
    return seen


SPELLINGS = [
    V4,
    "081.002.069.142",
    "142.69.2.81.in-addr.arpa",
    "81-2-69-142",
    "142_69_2_81",
    "81%2E2%2e69%2E142",
    "0x5102458e",
    "1359103374",
    f"::ffff:{V4}",
    "::ffff:5102:458e",
    f"[{V4}]:51234",
    V6,
    V6.upper(),
    f"[{V6}]:443",
    f"{V6}:443",
    f"{V6}%wlan0",
    V6.replace(":", "%3A"),
    V6.replace(":", "-"),
    "2a02:8108:9640:1d00::1",  # the same link: a temporary address of the same machine
    HOME,
    "kallisto",
    "KALLISTO.fritz.box",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("around", ["{}", "your IP: {}.", "http://x/?ip={}&y", "%20{}", "id={};"])
def test_every_spelling_in_text_and_bytes(spelling, around):
    text = around.format(spelling)
    bare = {spelling.lower(), V4, V6, HOME}
    seen = scrubbed(page(text, location=text, excerpt=text.encode())).observations[0]
    for value in (seen.title, seen.location, seen.excerpt.decode()):
        assert "scrubbed]" in value
        assert not any(secret in value.lower() for secret in bare)


def test_own_arpa_name_of_ipv6():
    arpa = ipaddress.ip_address(V6).reverse_pointer
    assert scrubbed(page(arpa)).observations[0].title == "[scrubbed].ip6.arpa"


@pytest.mark.parametrize(
    "text",
    ["181.2.69.142", "81.2.69.14", "81.2.69.1420", "2a02:8108:9640:1d01::1", "127.0.0.1", "::1",
     "12:34:56", "kallistos", "localhost", "chat.example", "192.168.178.1", "a:b:c", "::"],
)  # fmt: skip
def test_other_facts_stay(text):
    before = measured(page(text, excerpt=text.encode()))
    assert scrub(before, OWN) is before


def test_packed_addresses_in_certificates():
    der = b"\x30\x82" + ipaddress.ip_address(V4).packed + b"x" + ipaddress.ip_address(V6).packed
    observation = TLSHandshake(
        endpoint="e", address="192.0.2.1", port=443, sni="chat.example",
        chain=(Certificate(sha256="0" * 64, der=der),),
    )  # fmt: skip
    (certificate,) = scrubbed(observation).observations[0].chain
    assert certificate.der == b"\x30\x82[scrubbed]x[scrubbed]"
    assert certificate.sha256 == hashlib.sha256(certificate.der).hexdigest(), "of what is left"


@pytest.mark.parametrize(
    ("sender", "hidden"),
    [
        ("192.168.178.1", True),
        ("10.7.0.1", True),
        ("81.2.69.1", True),
        (V4, True),
        ("fe80::1", True),
        ("2a02:8108:9640:ffff::1", True),
        ("100.64.3.1", False),
        ("81.2.70.1", False),
        ("2a02:8109::1", False),
        ("193.0.0.1", False),
    ],
)
def test_icmp_senders_nearby(sender, hidden):
    observation = TCPConnect(endpoint="e", address="1.1.1.1", port=443, icmp_from=sender)
    seen = scrubbed(observation).observations[0]
    assert seen.icmp_from == ("[scrubbed]" if hidden else sender)
    assert seen.address == "1.1.1.1"
    hops = (PathHop(ttl=2, router=sender),)
    path = PathTrace(endpoint="e", address="1.1.1.1", port=443, sni="n", hops=hops)
    (hop,) = scrubbed(path).observations[0].hops
    assert hop.router == ("[scrubbed]" if hidden else sender)


def test_address_fields_and_replies():
    lookup = DNSLookup(
        endpoint="e",
        name="chat.example",
        qtype="A",
        resolver="system",
        replies=(
            DNSReply(after_us=1, rcode=0, answers=(V4, "192.0.2.1"), cnames=(f"x.{NAMES[1]}",)),
        ),
    )
    (reply,) = scrubbed(lookup).observations[0].replies
    assert reply.answers == ("[scrubbed]", "192.0.2.1")
    assert reply.cnames == ("x.[scrubbed]",)


def test_constants_and_facts_of_the_catalogue_stay():
    """A volunteer's machine may be called like a service, or like a word of the wire format."""
    own = ("signal", "udp", "dns", "system", "vantage", "e", V4)
    lookup = DNSLookup(
        endpoint="chat.signal.org:443/https", name="chat.signal.org", qtype="A", resolver="system"
    )
    endpoints = (EndpointRef(id="chat.signal.org:443/https", protocol="https", host="signal"),)
    before = measured(lookup, endpoints=endpoints)
    assert scrub(before, own) is before


def test_an_own_address_in_a_constant_is_removed():
    lookup = DNSLookup(
        endpoint=f"{V4}:443/tcp", name="x.example", qtype="A", resolver="system",
        evidence=(f"from-{V4}",),
    )  # fmt: skip
    seen = scrubbed(lookup).observations[0]
    assert seen.evidence == ("from-scrubbed",)
    assert seen.endpoint == "[scrubbed]:443/tcp"


def test_longer_text_is_cut_to_its_bound():
    seen = scrubbed(page("pi " * 341, excerpt=b"pi " * 682), own=("pi",)).observations[0]
    assert len(seen.title) == 1024
    assert len(seen.excerpt) <= 2048
    assert "pi" not in seen.title.replace("[scrubbed]", "")


def test_unknown_observations_are_searched_inside():
    inner = base64.b64encode(f"<p>{V6}</p>".encode()).decode()
    raw = json.dumps(
        {"step": "smoke", "a": {"b": [V4, 1, None, 2.5]}, "c": inner, f"k-{V4}": "kallisto"}
    ).replace("81.2", "81\\u002e2")
    seen = scrubbed(Unrecognised(step="smoke", raw=raw.encode())).observations[0]
    value = json.loads(seen.raw)
    assert value["a"] == {"b": ["[scrubbed]", 1, None, 2.5]}
    assert base64.b64decode(value["c"]) == b"<p>[scrubbed]</p>"
    assert value["k-[scrubbed]"] == "[scrubbed]"


def test_unknown_observation_without_finding_stays_byte_for_byte():
    raw = b'{"step": "smoke",  "x": 1.50, "y": "\\u0041"}'
    assert scrubbed(Unrecognised(step="smoke", raw=raw)).observations[0].raw == raw


def test_without_own_words_nothing_changes():
    before = measured(page(f"{V4} {V6} kallisto"))
    assert scrub(before, ()) is before
    assert scrub(before, ("", "x", "127.0.0.1", "localhost")) is before


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)
addresses = st.one_of(
    st.ip_addresses(v=4).filter(lambda ip: not (ip.is_loopback or ip.is_unspecified)),
    st.ip_addresses(v=6).filter(
        lambda ip: not (ip.is_loopback or ip.is_unspecified or ip.ipv4_mapped)
    ),
)


def no_part_of_an_address(text: str) -> bool:
    return not text or text[-1] not in "0123456789abcdefABCDEF.:-_%"


@given(addresses, words.filter(no_part_of_an_address), words)
def test_marker_never_appears_in_the_encoded_bytes(ip, before, after):
    marker = str(ip)
    after = " " + after
    text = before + marker + after
    blob = base64.b64encode(text.encode()).decode()
    raw = json.dumps({"step": "later", "text": text, "deep": [{"blob": blob}], text: 1}).encode()
    seen = scrubbed(
        page(text, excerpt=text.encode(), server=text, location=text),
        DNSLookup(
            endpoint=text, name=text, qtype="A", resolver="system",
            replies=(DNSReply(after_us=0, rcode=0, answers=(marker,), cnames=(text,)),),
        ),
        TCPConnect(endpoint="e", address=marker, port=1, icmp_from=marker),
        Unrecognised(step="later", raw=raw),
        own=(marker,),
        endpoints=(EndpointRef(id=text, protocol="tcp", host=text),),
    )  # fmt: skip
    if marker in before + after:
        return  # the drawn text itself holds it, as part of another number
    encoded = encode(seen)
    assert marker.encode() not in encoded
    assert marker.encode() not in seen.observations[0].excerpt
    deep = json.loads(seen.observations[3].raw)["deep"][0]["blob"]
    assert marker.encode() not in base64.b64decode(deep)


pieces = st.sampled_from(
    (*SPELLINGS, "chat.example", "udp", "e", "192.168.178.1", "100.64.3.1", "::1", "\u212aallisto",
     " ", ":", "%20", "&#58;", ".", "-", "scrubbed", "[scrubbed]", "x" * 150)
)  # fmt: skip
texts = st.lists(pieces, max_size=3).map("".join)
some = st.lists(texts, max_size=3).map(tuple)
observed = st.one_of(
    st.builds(
        TCPConnect, endpoint=texts, failure=st.one_of(st.none(), texts, st.just(Failure.RESET)),
        evidence=some, address=texts, port=st.just(1), icmp_from=st.one_of(st.none(), texts),
    ),
    st.builds(
        TLSHandshake, endpoint=texts, address=texts, port=st.just(1), sni=texts,
        version=st.one_of(st.none(), texts),
        chain=st.builds(Certificate, sha256=texts, der=texts.map(str.encode)).map(lambda c: (c,)),
    ),
    st.builds(
        DNSLookup, endpoint=texts, name=texts, qtype=st.just("A"), resolver=texts,
        replies=st.builds(
            DNSReply, after_us=st.integers(0, 3), rcode=st.just(0), answers=some, cnames=some
        ).map(lambda reply: (reply,)),
    ),
    st.builds(
        PathTrace, endpoint=texts, address=texts, port=st.just(1), sni=texts,
        hops=st.builds(PathHop, ttl=st.just(1), router=texts, hello=texts).map(lambda hop: (hop,)),
    ),
)  # fmt: skip
referred = st.builds(EndpointRef, id=texts, protocol=texts, host=texts)
whole = st.builds(
    lambda seen, refs, asn: msgspec.structs.replace(
        measured(*seen, endpoints=tuple(refs)), vantage=Vantage(asn=asn)
    ),
    st.lists(observed, max_size=3),
    st.lists(referred, max_size=2),
    st.integers(0, 2),
)


@given(st.lists(whole, max_size=6), st.sampled_from((OWN, (V4, "e", "udp"), ("scrubbed", V6))))
def test_what_is_remembered_as_clean_changes_nothing(measurements, own):
    """The truth is the walk through every field; a memory of four values is renewed often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scrubbing._OwnPatterns, "all_clean", lambda self, values: False)
        walked = [scrub(m, own) for m in measurements]
    for remembered in (4, scrubbing._MAX_REMEMBERED):
        scrubbing._own_patterns.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scrubbing, "_MAX_REMEMBERED", remembered)
            for _ in range(2):
                assert [scrub(m, own) for m in measurements] == walked
    for before, after in zip(measurements, walked, strict=True):
        assert (scrub(before, own) is before) == (after is before)


def test_long_texts_are_not_remembered():
    long = tuple(f"{number}.{'x' * 900}.example" for number in range(16))
    reply = DNSReply(after_us=1, rcode=0, cnames=long)
    lookup = DNSLookup(endpoint="e", name="n", qtype="A", resolver="system", replies=(reply,))
    scrubbing._own_patterns.cache_clear()
    scrubbed(lookup)
    own_patterns = scrubbing._own_patterns(OWN)
    assert own_patterns.all_clean((long, *long))
    assert not own_patterns._clean.intersection((long, *long))
    assert "n" in own_patterns._clean


@pytest.mark.parametrize(
    "form",
    [
        ", ".join(V4.split(".")),
        "".join(f"&#{ord(each)};" for each in V4),
        "2002:5102:458e::1",
        "kall&#105;sto",
    ],
)
def test_what_holds_an_own_word_in_another_form_goes_whole(form: str) -> None:
    (seen,) = scrubbed(
        page(f"for {form}", location=f"http://b.test/?u={form}", excerpt=form.encode())
    ).observations
    assert isinstance(seen, HTTPExchange)
    assert (seen.title, seen.location) == ("[scrubbed]", "[scrubbed]")
    assert seen.excerpt[:10] == b"[scrubbed]"
