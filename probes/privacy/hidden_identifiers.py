# SPDX-License-Identifier: Apache-2.0
"""Own addresses and names that a text or page holds in another form: escaped, in other digits,
compressed, in another character set, or within an address of another kind. Pure.

A server that writes its client's address in such a form may have a reason to. Nothing is cut out of
it: what holds one is left out as a whole, so it is enough to find it in one decoded form.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import html
import ipaddress
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote

UNESCAPED_ROUNDS = 3
"""An address may be escaped twice, as in a link within a link."""
MAX_UNPACKED = 1 << 16
MAX_STREAMS = 8
"""Compressed streams that are looked into, of one page."""
PREFIX_V6 = 64
"""Prefix length of one link: it contains the machine's temporary addresses (RFC 8981)."""
LEAST_NAME = 4
"""Shorter own names occur by chance."""
LEAST_JOINED = 1000
"""Smaller numbers are those of versions."""
_STREAMS = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
"""Beginnings of gzip (RFC 1952) and zlib (RFC 1950)."""
_TAG = re.compile(r"<[^<>]{0,200}>")
_CODE = re.compile(
    r"[\\%]u([0-9A-Fa-f]{4})|\\u\{([0-9A-Fa-f]{1,6})\}|\\U([0-9A-Fa-f]{8})"
    r"|\\x([0-9A-Fa-f]{2})|\\([0-9A-Fa-f]{2,6}) ?"
)
"""JavaScript, JSON, C and CSS."""
_OCTAL = re.compile(r"\\([0-3]?[0-7]{2})")
"""The same digits as of CSS, in another base."""
_QUOTED = re.compile(r"=([2-7][0-9A-F])")
"""Quoted-printable (RFC 2045)."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){7,}")
_BASE32 = re.compile(r"[A-Z2-7]{7,}")
_V6 = re.compile(r"(?<![0-9A-Fa-f:])[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?")
_APART = r"(?:[^0-9A-Za-z]{1,4}|[^0-9A-Za-z]{0,3}dot[^0-9A-Za-z]{0,3})"
"""What may be between the parts of an address."""
_V6_IN_NAMES = str.maketrans("-_", "::")
"""An IPv6 address in the name of a host, as of ipv6-literal.net."""
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class HiddenIdentifiers:
    """What is looked for: the addresses of IP and of network cards, and names of a machine."""

    def __init__(
        self, addresses: Iterable[IPv4Address | IPv6Address], names: Iterable[str]
    ) -> None:
        self._own = frozenset(addresses)
        v4 = [ip for ip in self._own if isinstance(ip, IPv4Address)]
        v6 = [ip for ip in self._own if isinstance(ip, IPv6Address)]
        self._networks = [
            ipaddress.ip_network(f"{ip}/{PREFIX_V6}", strict=False) for ip in v6 if ip.is_global
        ]
        shown = [ip for ip in self._own if ip.is_global]
        self._packed = tuple(form for ip in shown for form in (ip.packed, ip.packed[::-1]))
        self._inside = (*self._packed, *(str(ip).encode() for ip in shown))
        """What is looked for where chance makes it improbable: in what was decoded."""
        self._interfaces = {ip.packed[8:] for ip in v6 if _card(ip)}
        self._text = _spelled(v4, v6, [word for word in names if len(word) >= LEAST_NAME])

    def is_in_text(self, text: str) -> bool:
        """Return whether a decoded form of the text holds one of them."""
        return any(self._is_in_form(form) for form in _forms(text))

    def is_in_bytes(self, value: bytes) -> bool:
        """Return the same of a page, or of the beginning of one."""
        return any(
            any(packed in content for packed in self._packed) or self.is_in_text(text)
            for content in _contents(value)
            for text in _texts(content)
        )

    def _is_in_form(self, text: str) -> bool:
        if self._text.search(text):
            return True
        for spelled in {text, text.translate(_V6_IN_NAMES)}:
            if ":" in spelled and any(map(self._is_own_v6, _V6.findall(spelled))):
                return True
        return any(
            any(form in inner for form in self._inside)
            or self._text.search(inner.decode("latin-1")) is not None
            for inner in _decoded(text)
        )

    def _is_own_v6(self, candidate: str) -> bool:
        """Whether an address is in the volunteer's network, or made from one of its addresses:
        6to4 (RFC 3056), Teredo (RFC 4380), NAT64 of any prefix (RFC 6052) and mapped ones."""
        for text in (candidate, candidate.strip(":"), candidate.rpartition(":")[0]):
            with contextlib.suppress(ValueError):
                return self._is_made_from_own(IPv6Address(text))
        return False

    def _is_made_from_own(self, ip: IPv6Address) -> bool:
        made_from = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ()), IPv4Address(ip.packed[12:])]
        return (
            ip in self._own
            or ip.packed[8:] in self._interfaces
            or any(ip in network for network in self._networks)
            or any(each in self._own for each in made_from if each is not None)
            or any(
                part in ip.packed[:8] + ip.packed[skipped:]
                for part in self._packed
                for skipped in (8, 9)
            )
        )


def _spelled(
    v4: Iterable[IPv4Address], v6: Sequence[IPv6Address], words: Sequence[str]
) -> re.Pattern[str]:
    """Names, addresses of network cards, and addresses as numbers."""
    lower = [word.lower() for word in words]
    cards = {word for word in lower if _MAC.fullmatch(word)} | set(filter(None, map(_card, v6)))
    names = sorted(set(lower) - cards)
    parts = (re.split(r"[-_. ]", name) for name in names)
    joined = ("[-_. ]?".join(map(re.escape, each)) for each in parts)
    ways = [rf"(?<![0-9A-Za-z]){name}(?![0-9A-Za-z])" for name in joined]
    ways += ["[:. -]?".join(card.split(":")) for card in sorted(cards)]
    ways += [way for ip in v4 for way in _spelled_v4(ip)]
    ways += [way for ip in v6 if ip.is_global for way in _spelled_v6(ip)]
    return re.compile("|".join(ways) or r"(?!)", re.IGNORECASE)


def _spelled_v4(ip: IPv4Address) -> list[str]:
    """Regular expressions for an address of which the octets are apart in whichever way, or not;
    the last ones may be one number, as inet_aton(3) reads them."""
    octets = list(ip.packed)
    parts = [_any_base(octet) for octet in octets]
    spelled = [
        rf"(?<![0-9]){_APART.join(order)}(?![0-9])"
        for order in (parts, parts[::-1], [f"{octet:03}" for octet in octets])
    ]
    spelled.append(rf"(?<![0-9.]){re.escape(str(ip)[::-1])}(?![0-9.])")
    spelled.append(rf"(?<![0-9]){'[ ]?'.join(map(re.escape, str(ip)))}(?![0-9])")
    if ip.is_global:
        codes = str(ip).encode()
        ways = [[f"{byte:02x}" for byte in octets], [f"{byte:08b}" for byte in octets]]
        ways += [[f"(?:0x)?{code:x}" for code in codes], [str(code) for code in codes]]
        ways += [
            [*parts[:count], _any_base(last)]
            for count in (1, 2)
            if (last := int.from_bytes(ip.packed[count:], "big")) >= LEAST_JOINED
        ]
        spelled += [rf"(?<![0-9A-Za-z]){_APART.join(way)}(?![0-9A-Za-z])" for way in ways]
        number, backwards = int(ip), int.from_bytes(ip.packed, "little")
        hexadecimal = [f"{octet:02x}" for octet in octets]
        joined = ["".join(map(str, octets)), "".join(f"{octet:03}" for octet in octets)]
        joined += [str(number), str(backwards), str(2**32 - number), f"0?{number:o}"]
        joined += ["".join(hexadecimal), "".join(hexadecimal[::-1])]
        spelled += [rf"(?<![0-9A-Fa-f]){each}(?![0-9A-Fa-f])" for each in joined if len(each) > 7]
    return spelled


def _any_base(number: int) -> str:
    """A number in decimal, hexadecimal or octal digits."""
    return f"(?:0{{0,2}}{number}|0x0?{number:x}|0+{number:o})"


def _spelled_v6(ip: IPv6Address) -> list[str]:
    """Regular expressions for an address as a number, and for the digits of its network apart, in
    either order as in names of DNS (RFC 3596)."""
    digits = list(ip.packed[: PREFIX_V6 // 8].hex())
    return [str(int(ip)), *("[^0-9A-Za-z]".join(order) for order in (digits, digits[::-1]))]


def _card(ip: IPv6Address) -> str:
    """The address of the network card that an address was made from (EUI-64, RFC 4291 appendix A);
    empty for another one."""
    last = bytearray(ip.packed[8:])
    if last[3:5] != b"\xff\xfe":
        return ""
    last[0] ^= 2
    return ":".join(f"{byte:02x}" for byte in last[:3] + last[5:])


def _forms(text: str) -> Iterator[str]:
    """The text as it may be meant: without escapes and tags, in plain letters and digits."""
    plain = text
    for _ in range(UNESCAPED_ROUNDS):
        before, plain = plain, _CODE.sub(_character, unquote(html.unescape(plain), "latin-1"))
        if plain == before:
            break
    yield _plain(plain)
    if "=" in plain:
        yield _plain(_QUOTED.sub(lambda found: chr(int(found[1], 16)), plain))
    if "\\" in text:
        yield _plain(_OCTAL.sub(lambda found: chr(int(found[1], 8)), text))


def _character(found: re.Match[str]) -> str:
    number = int(next(filter(None, found.groups())), 16)
    return chr(number) if number < 0x110000 else found[0]


def _plain(text: str) -> str:
    """Without tags and invisible characters; letters and digits of other alphabets and widths as
    ASCII."""
    text = unicodedata.normalize("NFKC", _TAG.sub("", text))
    if text.isascii():
        return text
    shown = (each for each in text if unicodedata.category(each) not in _UNSEEN)
    return "".join(
        each if each.isascii() else str(unicodedata.decimal(each, each)) for each in shown
    )


_UNSEEN = ("Cf", "Mn", "Me")
"""Categories of characters that take no place of their own."""


def _decoded(text: str) -> Iterator[bytes]:
    """What is in hex, base64 and base32 in a text, as far as it can be decoded."""
    for found in _HEX.findall(text):
        yield bytes.fromhex(found)
    for found in _BASE64.findall(text):
        for start in range(min(4, len(found) - 5)):
            part = found[start:].translate(_STANDARD)
            with_end = part[: len(part) - (len(part) % 4 == 1)]
            try:
                yield base64.b64decode(with_end + "=" * (-len(with_end) % 4))
            except binascii.Error:
                continue
    for found in _BASE32.findall(text):
        part = found[: len(found) - {1: 1, 3: 1, 6: 1}.get(len(found) % 8, 0)]
        try:
            yield base64.b32decode(part + "=" * (-len(part) % 8))
        except binascii.Error:
            continue


_STANDARD = str.maketrans("-_", "+/")


def _contents(value: bytes) -> Iterator[bytes]:
    """The bytes, and what is compressed in them."""
    yield value
    starts = [found.start() for found in _STREAMS.finditer(value)][:MAX_STREAMS]
    # Automatic detection of gzip and zlib; and deflate without a header, as some servers send it.
    for start, window in [*((start, 47) for start in starts), (0, -15)]:
        if unpacked := _unpacked(value[start:], window):
            yield unpacked


def _unpacked(value: bytes, window: int) -> bytes:
    """What the beginning of the bytes is packed from, as far as it is good."""
    stream, unpacked = zlib.decompressobj(window), b""
    with contextlib.suppress(zlib.error):
        # What follows a stream that was cut is no part of it: an error comes with the first byte.
        for place in range(len(value)):
            left = MAX_UNPACKED - len(unpacked)
            if left <= 0 or stream.eof:
                break
            unpacked += stream.decompress(value[place : place + 1], left)
    return unpacked


def _texts(content: bytes) -> Iterator[str]:
    """The bytes as text in the character sets in use. Without the zero bytes, UTF-16 and UTF-32 in
    either order are ASCII."""
    yield content.decode("latin-1")
    if not content.isascii():
        yield content.decode("utf-8", "ignore")
        yield content.decode("cp500", "ignore")
    if b"\0" in content:
        yield content.replace(b"\0", b"").decode("latin-1")
