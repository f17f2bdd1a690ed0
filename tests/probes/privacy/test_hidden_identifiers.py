"""Own addresses and names in other forms are found, and other people's are not."""

from __future__ import annotations

import base64
import gzip
import ipaddress
import zlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.privacy.hidden_identifiers import MAX_UNPACKED, HiddenIdentifiers

IP, IP6, NAME = "93.184.216.34", "2a02:1234:5678:9abc:211:22ff:fe33:4455", "alice-laptop"
HOME, CARD = "192.168.178.23", "66:77:88:99:aa:bb"
OCTETS = [93, 184, 216, 34]
PACKED = bytes(OCTETS)
FOUND = HiddenIdentifiers(map(ip_address, (IP, IP6, HOME)), (NAME, CARD))
NUMBER = int(ip_address(IP))
FORMS = {
    "plain": IP,
    "backwards": ".".join(map(str, OCTETS[::-1])),
    "mirrored": IP[::-1],
    "dotted hex": "0x5d.0xb8.0xd8.0x22",
    "pairs of hex": "5d.b8.d8.22",
    "hex": "5DB8D822",
    "octal": "0135.0270.0330.042",
    "number": str(NUMBER),
    "padded": "093.184.216.034",
    "joined": "9318421634",
    "joined and padded": "093184216034",
    "apart": "93 . 184 . 216 . 34",
    "listed": "93,184,216,34",
    "underscores": "93_184_216_34",
    "percent": "".join(f"%{each:02x}" for each in IP.encode()),
    "percent twice": IP.replace(".", "%252E"),
    "decimal entities": "".join(f"&#{each};" for each in IP.encode()),
    "hex entities": "".join(f"&#x{each:x};" for each in IP.encode()),
    "named entities": IP.replace(".", "&period;"),
    "JSON": "".join(f"\\u{each:04x}" for each in IP.encode()),
    "CSS": IP.replace(".", "\\2e "),
    "JavaScript": IP.replace(".", "\\x2e"),
    "quoted-printable": IP.replace(".", "=2E"),
    "tags": "<b>93</b>.<b>184</b>.<b>216</b>.<b>34</b>",
    "comment": "93.184.<!-- -->216.34",
    "fullwidth": IP.translate({ord(c): 0xFEE0 + ord(c) for c in "0123456789."}),
    "Arabic digits": IP.translate({ord(str(n)): 0x660 + n for n in range(10)}),
    "zero width": "\u200b".join(IP),
    "soft hyphens": "\u00ad".join(IP),
    **{f"base64 after {n}": base64.b64encode(b"x" * n + IP.encode()).decode() for n in range(3)},
    "base64 of the bytes": base64.b64encode(PACKED).decode(),
    "base64 for links": base64.urlsafe_b64encode(b"\xff\xef" + PACKED).decode(),
    "base32": base64.b32encode(IP.encode()).decode(),
    "hex of the text": IP.encode().hex(),
    "beside letters": f"host{IP.replace('.', '-')}isp.b.test",
    "each part in another base": "0x5d.184.0330.34",
    "two parts": f"93.{NUMBER & 0xFFFFFF}",
    "three parts": f"93.184.{NUMBER & 0xFFFF}",
    "octal number": f"0o{NUMBER:o}",
    "negative": str(NUMBER - 2**32),
    "little-endian": str(int.from_bytes(PACKED, "little")),
    "bits": ".".join(f"{octet:08b}" for octet in OCTETS),
    "dot in words": IP.replace(".", " dot "),
    "dot in brackets": IP.replace(".", "(dot)"),
    "digits apart": " ".join(IP),
    "keycaps": "".join(f"{c}\ufe0f\u20e3" if c.isdigit() else c for c in IP),
    "codes": ",".join(str(ord(c)) for c in IP),
    "hex codes": ", ".join(hex(ord(c)) for c in IP),
    "JavaScript braces": "".join(f"\\u{{{ord(c):x}}}" for c in IP),
    "octal escapes": "".join(f"\\{ord(c):03o}" for c in IP),
    "C": "".join(f"\\U{ord(c):08x}" for c in IP),
    "percent u": "".join(f"%u{ord(c):04x}" for c in IP),
    "NAT64 of another prefix": "2001:db8:122:344:5d:b8d8:2200:0",
    "NAT64 in the middle": "2001:db8:122:5db8:d8:2200::",
    "IPv6 literal": f"{IP6.replace(':', '-')}.ipv6-literal.net",
    "IPv6 in a reverse zone": ip_address(IP6).reverse_pointer,
    "IPv6 network in a reverse zone": ip_address(IP6).reverse_pointer[32:],
    "name with spaces": NAME.replace("-", " "),
    "name in one": NAME.replace("-", ""),
    "mapped": f"::ffff:{IP}",
    "mapped hex": "::ffff:5db8:d822",
    "6to4": "2002:5db8:d822::1",
    "NAT64": "64:ff9b::5db8:d822",
    "Teredo": "2001:0:4136:e378:8000:63bf:a247:27dd",
    "IPv6": IP6.upper(),
    "IPv6 exploded": ip_address(IP6).exploded,
    "IPv6 escaped": IP6.replace(":", "&#x3a;"),
    "IPv6 number": str(int(ip_address(IP6))),
    "IPv6 of the same line": "2a02:1234:5678:9abc::1",
    "the interface elsewhere": "fe80::211:22ff:fe33:4455",
    "home": HOME.replace(".", "&#46;"),
    "name": NAME.upper(),
    "name escaped": "alice%2Dlaptop",
    "name in base64": base64.b64encode(NAME.encode()).decode(),
    "name in entities": "".join(f"&#{ord(each)};" for each in NAME),
    "card of the address": "00:11:22:33:44:55",
    "card with dashes": "00-11-22-33-44-55",
    "card with points": "0011.2233.4455",
    "card": "66778899aabb",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["{}", "Blocked for {} today", "http://b.test/?u={}&c=1"])
def test_a_form_is_found_in_a_text_and_in_a_page(form: str, around: str) -> None:
    text = around.format(FORMS[form])
    assert FOUND.is_in_text(text)
    assert FOUND.is_in_bytes(f"<html>{text}</html>".encode())


@pytest.mark.parametrize(
    "page",
    [
        *(IP.encode(each) for each in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32")),
        NAME.encode("utf-16-le"),
        IP.encode("cp500"),
        PACKED,
        PACKED[::-1],
        ip_address(IP6).packed,
        gzip.compress(b"<p>" + IP.encode()),
        zlib.compress(b"<p>" + IP.encode()),
        gzip.compress(IP.encode("utf-16-le"))[:-8],
    ],
)
def test_a_page_is_read_in_its_character_set_and_unpacked(page: bytes) -> None:
    assert FOUND.is_in_bytes(b"<html>" + page + b"</html>")


def test_deflate_without_a_header_is_unpacked() -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    assert FOUND.is_in_bytes(squeeze.compress(b"you are " + IP.encode()) + squeeze.flush())


def test_a_bomb_is_unpacked_so_far() -> None:
    assert not FOUND.is_in_bytes(zlib.compress(bytes(50_000_000) + PACKED, 9, 31))
    assert MAX_UNPACKED == 1 << 16


OTHERS = [
    "",
    "Access denied",
    "nginx/1.24.0 (Ubuntu)",
    "DigiCert TLS RSA SHA256 2020 CA1",
    "jquery-3.6.0.min.js?v=93.184&x=216.34",
    "193.184.216.34 and 93.184.216.345 and 93.184.216.3",
    "93.184.216.35",
    "at 9:31:84 on 21.6.2034",
    "version 93.184.216.34567",
    "build 93.184.5533 of 2093.184.55330",
    "order no. 184/216-34 of 12.5.2024",
    "2a02:1234:5678:9abd::1 and ::1 and fe80::1",
    "Alice, laptop",
    "00:11:22:33:44:56",
    "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    base64.b64encode(b"93.184.216.35").decode(),
    "\ud800",
]


@pytest.mark.parametrize("text", OTHERS)
def test_what_belongs_to_others_stays(text: str) -> None:
    assert not FOUND.is_in_text(text)
    assert not FOUND.is_in_bytes(text.encode("utf-8", "replace"))


@given(st.binary(max_size=300))
def test_no_page_is_an_error_and_none_is_ours_by_chance(page: bytes) -> None:
    assert not FOUND.is_in_bytes(page)
    assert not FOUND.is_in_text(page.decode("latin-1"))


@given(st.ip_addresses(v=4).filter(lambda ip: ip.is_global))
def test_any_address_is_found_in_each_numeric_form(ip: ipaddress.IPv4Address) -> None:
    found = HiddenIdentifiers([ip], ())
    octets = list(ip.packed)
    for text in (
        ", ".join(map(str, octets)),
        ".".join(f"0{octet:o}" for octet in octets),
        ".".join(f"0x{octet:x}" for octet in octets),
        "".join(f"&#{ord(each)};" for each in str(ip)),
        str(ipaddress.IPv6Address(b"\x20\x02" + ip.packed + bytes(10))),
    ):
        assert found.is_in_text(f"for {text}!")


def test_nobody_has_nothing() -> None:
    nothing = HiddenIdentifiers((), ())
    assert not any(nothing.is_in_text(form) for form in FORMS.values())
