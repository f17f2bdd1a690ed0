"""Own addresses in disguise: they must not leave either."""

from __future__ import annotations

import base64
import gzip
import hashlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.privacy.encoded_addresses import EncodedAddresses, encodings
from probes.privacy.scrub import scrub
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    Certificate,
    HTTPExchange,
    Observation,
    PathHop,
    PathTrace,
    TLSHandshake,
)

OWN = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")
ADDRESSES = [ipaddress.ip_address(word) for word in OWN]


def scrubbed(**told: object) -> HTTPExchange:
    seen = HTTPExchange(endpoint="e", address="192.0.2.1", port=80, host="a.test", **told)  # type: ignore[arg-type]
    return inside(seen)  # type: ignore[return-value]


def inside(seen: Observation) -> object:
    whole = Measurement(
        v=1, id="0" * 32, probe="p-" + "0" * 16, target="a/b", round=1, started=1,
        observations=(seen,),
    )  # fmt: skip
    return scrub(whole, (*OWN, "hal-laptop")).observations[0]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("before", ["", "a", "ab", '{"ip":"'])
def test_base64_at_each_place(own: str, before: str) -> None:
    plain = f"{before}{own}&u=1"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        word = encode(plain.encode()).decode()
        assert scrubbed(location=f"http://b.test/{word}").location.startswith("http://b.test/")
        for seen in (
            scrubbed(location=f"http://b.test/?d={word}").location,
            scrubbed(excerpt=f'<input value="{word}">'.encode()).excerpt.decode(),
        ):
            assert "[scrubbed]" in seen
            assert word not in seen


@given(st.ip_addresses(), st.binary(max_size=20), st.binary(max_size=20))
def test_no_base64_of_an_own_address_passes(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, before: bytes, after: bytes
) -> None:
    word = base64.b64encode(before + ip.compressed.encode() + after).decode()
    assert "[x]" in EncodedAddresses([ip]).remove_from_text(f"/{word}", "[x]")
    assert all(len(each) >= min(2, len(ip.compressed) - 2) for each in encodings(ip))


@pytest.mark.parametrize("own", OWN)
def test_cut_off_by_our_own_bounds(own: str) -> None:
    signs = "." if "." in own else ":"
    least = len(signs.join(own.split(signs)[:2])) + 1
    for kept in range(least, len(own)):
        excerpt = b"x" * (2047 - kept) + b" " + own.encode()
        assert own.encode()[:kept] not in scrubbed(excerpt=excerpt[:2048]).excerpt
        seen = inside(
            AppExchange(
                endpoint="e", address="192.0.2.1", port=80, protocol="xmpp",
                excerpt=(b"x" * (255 - kept) + b" " + own.encode())[:256],
            )
        )  # fmt: skip
        assert own.encode()[:kept] not in seen.excerpt  # type: ignore[attr-defined]
        location = ("http://b.test/?" + "x" * (496 - kept) + "&" + own)[:512]
        assert own[:kept] not in str(scrubbed(location=location).location)
    # A service's address that begins like ours stays.
    assert scrubbed(title="served by 93.184.216.3").title == "served by 93.184.216.3"


def test_a_page_that_is_compressed_unasked() -> None:
    page = gzip.compress(b"<p>you are " + OWN[0].encode())
    assert scrubbed(excerpt=page).excerpt == b"[scrubbed]"
    other = gzip.compress(b"<p>hello")
    assert scrubbed(excerpt=other).excerpt == other


def test_links_that_name_the_subscriber() -> None:
    told = (
        "http://deny.test/index.php?dpid=20&username=%2B491711234567&userip=93.184.216.34&mac=aa-bb"
    )
    assert scrubbed(location=told).location == (
        "http://deny.test/index.php?dpid=20&username=[scrubbed]&userip=[scrubbed]&mac=[scrubbed]"
    )
    page = scrubbed(excerpt=b'<a href="/?msisdn=49171&amp;session_id=77&cat=5">').excerpt
    assert page == b'<a href="/?msisdn=[scrubbed]&amp;session_id=[scrubbed]&cat=5">'
    kept = "http://b.test/?category=news&url=http://a.test/"
    assert scrubbed(location=kept).location == kept
    # What the catalogue asks for is no secret.
    assert scrubbed(path="/?token=x").path == "/?token=x"


def test_a_digit_follows_a_name_in_a_certificate() -> None:
    """DER writes a sequence as `0`: no boundary of a word."""
    der = b"\x30\x82\x01\x00\x0c\x0d93.184.216.340\x11\x0c\x0aHAL-LAPTOP0\x05x93-184-216-349"
    seen = TLSHandshake(
        endpoint="e", address="192.0.2.1", port=443, sni="a.test",
        chain=(Certificate(sha256="0" * 64, der=der),),
    )  # fmt: skip
    (kept,) = inside(seen).chain  # type: ignore[attr-defined]
    assert kept.der == (
        b"\x30\x82\x01\x00\x0c\x0d[scrubbed]0\x11\x0c\x0a[scrubbed]0\x05x[scrubbed]9"
    )
    assert kept.sha256 == hashlib.sha256(kept.der).hexdigest()


def test_no_hash_of_what_was_struck_out() -> None:
    page = scrubbed(excerpt=b"you are 93.184.216.34", body_sha256="0" * 64)
    assert (page.excerpt, page.body_sha256) == (b"you are [scrubbed]", None)
    assert scrubbed(excerpt=b"you are here", body_sha256="0" * 64).body_sha256 == "0" * 64


def test_the_first_router_is_the_volunteer_s_own() -> None:
    """Over IPv6 it may answer by an address of the line, far from the prefix that it gives out."""
    hops = (
        PathHop(ttl=1, router="2a00:1450:4001:81b::1", hello="silence"),
        PathHop(ttl=2, router="2a00:1450:4001:1::5"),
        PathHop(ttl=3, hello="icmp"),
    )
    seen = PathTrace(endpoint="e", address="192.0.2.1", port=443, sni="a.test", hops=hops)
    kept = inside(seen)
    assert [hop.router for hop in kept.hops] == ["[scrubbed]", "2a00:1450:4001:1::5", None]  # type: ignore[attr-defined]
    assert [hop.hello for hop in kept.hops] == ["silence", None, "icmp"]  # type: ignore[attr-defined]
