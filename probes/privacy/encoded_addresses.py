# SPDX-License-Identifier: Apache-2.0
"""Own addresses in other encodings: in base64 or hex, truncated by the wire format's limits; and
links of block pages that name a subscriber. Pure; for `probes.privacy.scrub`."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from msgspec.structs import replace

from probes.wire.measurement import Measurement
from probes.wire.observation import Certificate, PathHop, PathTrace, QUICHandshake, TLSHandshake

_MIN_TRUNCATED_LENGTH = 200
"""A text this long may have been truncated to a limit of the wire format, in the middle of an
address. The shortest limit on texts from the network is 256 bytes."""
_MAX_ADDRESS_LENGTH = 45
"""Shorter texts without a character of a link contain no encoded address."""
_MIN_NAME_LENGTH = 4
"""Shorter own names occur in certificates by chance."""
_DER_STARTS = (b"\x30\x81", b"\x30\x82", b"\x30\x83")
"""First bytes of a DER sequence (X.690 section 8.9) with a length of one to three bytes."""
_SUBSCRIBER = re.compile(
    r"(?i)([?&;](?:amp;)?(?:user|usr|uid|login|account|subscriber|customer|client|msisdn|phone|mobile"
    r"|imsi|imei|mac|session|sid|token)[a-z_-]{0,12}=)[^&;#\s\"'<>]+"
)
"""Parameters of a link that identify the subscriber: filters add account or telephone number
(Netsweeper's deny page: `username=`, `userip=`; CitizenLab, "Planet Netsweeper", 2018)."""


def encodings(ip: IPv4Address | IPv6Address) -> tuple[str, ...]:
    """Return an address's text in base64, at each of the three offsets, and in hex digits."""
    text = ip.compressed.encode()
    found = []
    for before in range(3):
        whole = base64.b64encode(bytes(before) + text).decode().rstrip("=")
        # The first characters hold bits of what comes before, the last one of what follows.
        end = (before + len(text)) * 8 // 6
        found.append(whole[-(-before * 8 // 6) : end])
    return (*found, text.hex())


def truncated_pattern(ip: IPv4Address | IPv6Address) -> str:
    """Return a regular expression for a text that ends in a truncated address: at least half of it,
    because less reveals little."""
    text = ip.compressed
    sign = "." if ip.version == 4 else ":"
    least = [place for place, each in enumerate(text) if each == sign][1] + 1
    ways = "|".join(re.escape(text[:end]) for end in range(len(text) - 1, least - 1, -1))
    return rf"(?<![0-9A-Fa-f{sign}])(?:{ways})\Z" if ways else r"(?!)"


class EncodedAddresses:
    """Patterns of encoded own addresses, and of links that name a subscriber."""

    def __init__(
        self, addresses: Iterable[IPv4Address | IPv6Address], names: Iterable[str] = ()
    ) -> None:
        own = tuple(addresses)
        words = {ip.compressed for ip in own} | {re.sub("[.:]", "-", ip.compressed) for ip in own}
        words.update(name for name in names if len(name) >= _MIN_NAME_LENGTH)
        longest_first = sorted(map(re.escape, words), key=lambda word: (-len(word), word))
        within = "|".join(longest_first).encode("utf-8", "replace")
        self._within = re.compile(within or rb"(?!)", re.IGNORECASE)
        self._encoded = tuple(word for ip in own for word in encodings(ip))
        self._cut = re.compile("|".join(map(truncated_pattern, own)) or r"(?!)", re.IGNORECASE)

    def remove_from_text(self, value: str, mark: str) -> str:
        """Return the text with a mark in place of each finding."""
        if len(value) >= _MIN_TRUNCATED_LENGTH:
            value = self._cut.sub(mark, value)
        if "=" in value or "/" in value or len(value) > _MAX_ADDRESS_LENGTH:
            for word in self._encoded:
                value = value.replace(word, mark)
            if "=" in value:
                value = _SUBSCRIBER.sub(lambda found: found[1] + mark, value)
        return value

    def remove_from_der(self, value: bytes, mark: bytes) -> bytes:
        """Return bytes of DER with a mark in place of each finding. A digit may follow a name
        there: `0` is also the first byte of a sequence."""
        if value[:2] in _DER_STARTS:
            value = self._within.sub(mark, value)
        return value


def with_new_hashes(value: Any, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields together with new hashes. The old hashes would reveal what was
    removed: there are few enough IPv4 addresses to try them all."""
    fields = dict(changed)
    if "der" in fields:
        fields["sha256"] = hashlib.sha256(fields["der"]).hexdigest()
    if "excerpt" in fields and hasattr(value, "body_sha256"):
        fields["body_sha256"] = None
    return fields


def scrub_across_observations(before: Measurement, after: Measurement, mark: str) -> Measurement:
    """Remove what shows only across observations: related hashes, and first routers."""
    return _without_first_router(_with_same_hashes(before, after), mark)


def _with_same_hashes(before: Measurement, after: Measurement) -> Measurement:
    """Give a changed certificate its new hash everywhere: its bytes are sent only once."""
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
        replace(each, chain=tuple(_with_new_hash(one, hashes) for one in each.chain))
        if isinstance(each, TLSHandshake | QUICHandshake)
        else each
        for each in after.observations
    )
    return replace(after, observations=seen)


def _with_new_hash(certificate: Certificate, hashes: Mapping[str, str]) -> Certificate:
    known = hashes.get(certificate.sha256)
    return certificate if known is None else replace(certificate, sha256=known)


def _without_first_router(measurement: Measurement, mark: str) -> Measurement:
    """Remove the first router of a path: it is the volunteer's own, and over IPv6 it may answer
    from an address of the access line that is in no prefix known here."""
    if not any(isinstance(each, PathTrace) for each in measurement.observations):
        return measurement
    seen = tuple(
        replace(each, hops=tuple(_without_router(hop, mark) for hop in each.hops))
        if isinstance(each, PathTrace)
        else each
        for each in measurement.observations
    )
    return replace(measurement, observations=seen)


def _without_router(hop: PathHop, mark: str) -> PathHop:
    return replace(hop, router=mark) if hop.ttl <= 1 and hop.router is not None else hop
