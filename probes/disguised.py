"""An own address where it is not written as one: in base64 or hex, cut off by our own bounds, in a
compressed page; and what else a block page's link tells of a subscriber. Pure; for `probes.scrub`.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

_SHORTEST_CUT = 200
"""A text this long may have been cut to the bounds of the wire format, in the midst of an address.
The shortest bound on what strangers say is 256 bytes."""
_LONGEST_ADDRESS = 45
"""Shorter texts without any of the signs of a link hold no address in disguise."""
_GZIP = b"\x1f\x8b\x08"
_MOST_UNPACKED = 1 << 16
_SUBSCRIBER = re.compile(
    r"(?i)([?&;](?:amp;)?(?:user|usr|uid|login|account|subscriber|customer|client|msisdn|phone|mobile"
    r"|imsi|imei|mac|session|sid|token)[a-z_-]{0,12}=)[^&;#\s\"'<>]+"
)
"""Parameters of a link that name whoever asked: filters add the account or the telephone number
(Netsweeper's deny page: `username=`, `userip=`; CitizenLab, "Planet Netsweeper", 2018)."""


def encoded(ip: IPv4Address | IPv6Address) -> tuple[str, ...]:
    """What an address in text becomes in base64, at each of three places, and in hex digits."""
    text = ip.compressed.encode()
    found = []
    for before in range(3):
        whole = base64.b64encode(bytes(before) + text).decode().rstrip("=")
        # The first digits hold bits of what is before, the last one of what comes after.
        end = (before + len(text)) * 8 // 6
        found.append(whole[-(-before * 8 // 6) : end])
    return (*found, text.hex())


def cut(ip: IPv4Address | IPv6Address) -> str:
    """Regular expression for the end of a text in which an address was cut off: half of it at
    least, for less tells little."""
    text = ip.compressed
    sign = "." if ip.version == 4 else ":"
    least = [place for place, each in enumerate(text) if each == sign][1] + 1
    ways = "|".join(re.escape(text[:end]) for end in range(len(text) - 1, least - 1, -1))
    return rf"(?<![0-9A-Fa-f{sign}])(?:{ways})\Z" if ways else r"(?!)"


class Disguises:
    """What own addresses look like, and links that name a subscriber."""

    def __init__(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        own = tuple(addresses)
        self._encoded = tuple(word for ip in own for word in encoded(ip))
        self._cut = re.compile("|".join(map(cut, own)) or r"(?!)", re.IGNORECASE)

    def struck_out(self, value: str, mark: str) -> str:
        """The text with a mark in their place."""
        if len(value) >= _SHORTEST_CUT:
            value = self._cut.sub(mark, value)
        if "=" in value or "/" in value or len(value) > _LONGEST_ADDRESS:
            for word in self._encoded:
                value = value.replace(word, mark)
            if "=" in value:
                value = _SUBSCRIBER.sub(lambda found: found[1] + mark, value)
        return value


def unpacked(value: bytes) -> bytes | None:
    """The beginning of what gzip packed, None when it is no gzip. Nobody asked for it: the probe
    offers no compression."""
    if not value.startswith(_GZIP):
        return None
    try:
        return zlib.decompressobj(31).decompress(value, _MOST_UNPACKED)
    except zlib.error:
        return None
