# SPDX-License-Identifier: Apache-2.0
"""How many probes, and of how many owners, may enrol from one place on the internet within a day.

Whoever has several tokens could else be several owners within a minute. Addresses are never kept:
only a hash of their prefix, with a key that lives in this process alone and is made anew with it,
and for a day at most. Addresses of one's own network (loopback, private) say nothing of where
somebody is, and are not counted. Several web servers each count for themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable

import msgspec

DAY_MS = 86_400_000
OWNERS_A_DAY = 5
"""Owners from one prefix: a family, an office or a workshop with one connection."""
PROBES_A_DAY = 50
"""Probes from one prefix, of whichever owners."""
PREFIX_LENGTHS = {4: 24, 6: 48}
"""One subscriber, or a few, by version of the protocol."""
MOST_PREFIXES = 100_000
"""Prefixes that are remembered; beyond them the oldest is forgotten."""


class _Enrolment(msgspec.Struct, frozen=True, gc=False):
    at: int
    owner: bytes
    """Hash of the owner's name."""


class EnrolmentLimits:
    """Counts the enrolments of the last day by prefix. `clock`: Unix milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock, self._key = clock, secrets.token_bytes(32)
        self._lately: dict[bytes, tuple[_Enrolment, ...]] = {}
        self.refused = 0
        """Enrolments that were refused for their number."""

    def refusal(self, address: str, owner: str) -> str | None:
        """Why an owner may enrol no probe from this address now, in words for the volunteer; None
        when it may."""
        prefix = self._prefix(address)
        lately = () if prefix is None else self._of_last_day(prefix)
        owners, mine = {each.owner for each in lately}, self._hashed(owner.encode())
        if len(lately) >= PROBES_A_DAY:
            reason = f"{PROBES_A_DAY} probes"
        elif mine not in owners and len(owners) >= OWNERS_A_DAY:
            reason = f"probes of {OWNERS_A_DAY} owners"
        else:
            return None
        self.refused += 1
        return (
            f"{reason} have been enrolled from your network within a day, which is as many as may "
            "be: try again tomorrow, or from another connection"
        )

    def note(self, address: str, owner: str) -> None:
        """Remember that an owner enrolled a probe from this address."""
        if (prefix := self._prefix(address)) is None:
            return
        enrolment = _Enrolment(self._clock(), self._hashed(owner.encode()))
        lately = (*self._of_last_day(prefix), enrolment)
        # Put at the end: the order of the dictionary is that of the newest enrolments.
        self._lately.pop(prefix, None)
        self._lately[prefix] = lately
        while len(self._lately) > MOST_PREFIXES or self._is_outdated(next(iter(self._lately))):
            del self._lately[next(iter(self._lately))]

    def _of_last_day(self, prefix: bytes) -> tuple[_Enrolment, ...]:
        oldest = self._clock() - DAY_MS
        return tuple(each for each in self._lately.get(prefix, ()) if each.at > oldest)

    def _is_outdated(self, prefix: bytes) -> bool:
        return self._lately[prefix][-1].at <= self._clock() - DAY_MS

    def _prefix(self, address: str) -> bytes | None:
        """The hash of the prefix of a global address; None for any other."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        if not parsed.is_global:
            return None
        network = ipaddress.ip_network((parsed, PREFIX_LENGTHS[parsed.version]), strict=False)
        return self._hashed(network.network_address.packed)

    def _hashed(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, hashlib.sha256)[:16]
