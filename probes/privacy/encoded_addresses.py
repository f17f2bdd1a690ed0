# SPDX-License-Identifier: Apache-2.0
"""An own address where it is not written as one: in base64 or hex, cut off by our own bounds, in a
compressed page; and what else a block page's link tells of a subscriber. Pure; for
`probes.privacy.scrub`."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from msgspec.structs import replace

from probes.wire.measurement import Measurement
from probes.wire.observation import Certificate, PathHop, PathTrace, QUICHandshake, TLSHandshake

_SHORTEST_CUT = 200
"""A text this long may have been cut to the bounds of the wire format, in the midst of an address.
The shortest bound on what strangers say is 256 bytes."""
_LONGEST_ADDRESS = 45
"""Shorter texts without any of the signs of a link hold no address in disguise."""
_SHORTEST_NAME = 4
"""A shorter own name turns up by chance in any certificate."""
_SEQUENCES = (b"\x30\x81", b"\x30\x82", b"\x30\x83")
"""How DER begins (X.690 section 8.9), with a length of one to three bytes."""
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

    def __init__(
        self, addresses: Iterable[IPv4Address | IPv6Address], names: Iterable[str] = ()
    ) -> None:
        own = tuple(addresses)
        words = {ip.compressed for ip in own} | {re.sub("[.:]", "-", ip.compressed) for ip in own}
        words.update(name for name in names if len(name) >= _SHORTEST_NAME)
        longest_first = sorted(map(re.escape, words), key=lambda word: (-len(word), word))
        within = "|".join(longest_first).encode("utf-8", "replace")
        self._within = re.compile(within or rb"(?!)", re.IGNORECASE)
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

    def octets(self, value: bytes, mark: bytes) -> bytes:
        """As `struck_out`, for what is no text: in a certificate a digit may follow a name, for
        `0` is also how a sequence begins there."""
        if value[:2] in _SEQUENCES:
            value = self._within.sub(mark, value)
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


def without_hashes(value: Any, changed: Mapping[str, Any]) -> dict[str, Any]:
    """The changed fields, and with them the hashes of what stood there before: there are so few
    addresses of IPv4 that whoever knows the rest tries them all."""
    fields = dict(changed)
    if "der" in fields:
        fields["sha256"] = hashlib.sha256(fields["der"]).hexdigest()
    if "excerpt" in fields and hasattr(value, "body_sha256"):
        fields["body_sha256"] = None
    return fields


def whole(before: Measurement, after: Measurement, mark: str) -> Measurement:
    """What only shows beside the other observations: hashes that belong together, first routers."""
    return _without_first_router(_same_hashes(before, after), mark)


def _same_hashes(before: Measurement, after: Measurement) -> Measurement:
    """A certificate that was changed has its new hash everywhere: its bytes travel but once."""
    if after is before:
        return after
    hashes = {
        old.sha256: new.sha256
        for was, now in zip(before.observations, after.observations, strict=True)
        for old, new in zip(getattr(was, "chain", ()), getattr(now, "chain", ()), strict=True)
        if old.sha256 != new.sha256
    }
    if not hashes:
        return after
    seen = tuple(
        replace(each, chain=tuple(_renamed(one, hashes) for one in each.chain))
        if isinstance(each, TLSHandshake | QUICHandshake)
        else each
        for each in after.observations
    )
    return replace(after, observations=seen)


def _renamed(certificate: Certificate, hashes: Mapping[str, str]) -> Certificate:
    known = hashes.get(certificate.sha256)
    return certificate if known is None else replace(certificate, sha256=known)


def _without_first_router(measurement: Measurement, mark: str) -> Measurement:
    """A path begins behind the first router: that one is the volunteer's own, and over IPv6 it may
    answer by an address of its line that no prefix of ours tells."""
    if not any(isinstance(each, PathTrace) for each in measurement.observations):
        return measurement
    seen = tuple(
        replace(each, hops=tuple(_anonymous(hop, mark) for hop in each.hops))
        if isinstance(each, PathTrace)
        else each
        for each in measurement.observations
    )
    return replace(measurement, observations=seen)


def _anonymous(hop: PathHop, mark: str) -> PathHop:
    return replace(hop, router=mark) if hop.ttl <= 1 and hop.router is not None else hop
