# SPDX-License-Identifier: Apache-2.0
"""Removes the volunteer's own addresses and names from a measurement before it is stored. Pure.

Block pages, redirects, certificates and host names repeat the client's address. Every string and
every bytes field is searched, including base64 and JSON in observations that this version does not
know. Facts of the catalogue (host names of services) are not secret and stay, even if the
volunteer's machine is called `signal`.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from probes.privacy.encoded_addresses import (
    EncodedAddresses,
    scrub_across_observations,
    with_new_hashes,
)
from probes.privacy.hidden_identifiers import HiddenIdentifiers
from probes.wire.measurement import EndpointRef, Measurement, Software, Vantage
from probes.wire.observation import Unrecognised

SCRUBBED = "[scrubbed]"
_PLAIN_MARK = "scrubbed"
"""The mark where the wire format allows no brackets."""
_CATALOGUE_FIELDS = frozenset(
    (
        *("endpoint", "name", "sni", "host", "path", "id", "target", "step", "resolver"),
        *("protocol", "purpose", "contrast", "failure", "transport"),
    )
)
"""Fields with texts of the catalogue or constants of ours: they are not searched for own names."""
_GENERIC_NAMES = frozenset(("localhost", "localdomain", "localhost.localdomain", "local", "(none)"))
_ICMP_SENDERS = ("icmp_from", "router")
_CARRIER_NAT = ipaddress.ip_network("100.64.0.0/10")
_NETWORK_PREFIX = {4: 24, 6: 48}
"""Prefix lengths of the volunteer's own network; links get up to a /48 (RFC 6177)."""
_LINK_PREFIX_V6 = 64
"""Prefix length of one link: it contains the machine's temporary addresses (RFC 8981)."""
_DOT = r"(?:[._-]|%2[eE]|&#46;)"


def _not_after(characters: str) -> str:
    """Return a pattern for what may precede a match: `11.2.3.4` is no match for `1.2.3.4`,
    `%201.2.3.4` is one."""
    return rf"(?:(?<![{characters}])|(?<=%[0-9A-Fa-f]{{2}}))"


_COLON = r"(?::|%3[aA]|&#58;)"
_V6_CANDIDATE = re.compile(
    rf"{_not_after('0-9A-Fa-f%')}(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}"
    r"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?:%[0-9A-Za-z]{1,15})?"
)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Fit = Callable[[str, str], str]
_MAX_REMEMBERED, _MAX_LENGTH = 2400, 256
"""Number of values remembered as clean, more than occur in a round, because rounds repeat them; and
the longest that is remembered."""
_MAX_PAGES = 256
"""Certificates and pages remembered, which rounds repeat: some 2 kB each."""
_REPEATED_STRUCTS = (EndpointRef, Vantage, Software)


def scrub(measurement: Measurement, own: Sequence[str]) -> Measurement:
    """Return the measurement without the volunteer's own addresses, host name and domain.

    `own` holds addresses (IPv4, IPv6) and names in any order; loopback addresses and `localhost`
    identify nobody and stay. Every notation of them becomes `[scrubbed]` (encodings too, see
    `probes.privacy.encoded_addresses`), and so does the sender of an ICMP error if it is private or
    in the volunteer's network."""
    patterns = _own_patterns(tuple(own))
    return scrub_across_observations(measurement, _struct(measurement, patterns), SCRUBBED)


class _OwnPatterns:
    """Patterns of the own addresses and names."""

    def __init__(self, addresses: frozenset[_Address], names: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.networks = tuple(
            ipaddress.ip_network(f"{ip}/{_NETWORK_PREFIX[ip.version]}", strict=False)
            for ip in addresses
        )
        self.links = tuple(
            ipaddress.ip_network(f"{ip}/{_LINK_PREFIX_V6}", strict=False)
            for ip in addresses
            if ip.version == 6 and ip.is_global
        )
        spellings = [s for ip in sorted(addresses, key=str) for s in _spellings(ip)]
        self.spelled = re.compile("|".join(spellings), re.IGNORECASE) if spellings else None
        named = [rf"{_not_after('0-9A-Za-z')}{re.escape(name)}(?![0-9A-Za-z])" for name in names]
        self.named = re.compile("|".join(named), re.IGNORECASE) if named else None
        # The four bytes of a private address occur in files by chance; a global one's hardly ever.
        self.packed = tuple(ip.packed for ip in addresses if ip.version == 6 or ip.is_global)
        self.encoded = EncodedAddresses(addresses, names)
        self.hidden = HiddenIdentifiers(addresses, names)
        self._hides_in = functools.lru_cache(_MAX_PAGES)(self.hidden.is_in_bytes)
        self._clean: set[Any] = {None, ()}

    def all_clean(self, values: tuple[Any, ...]) -> bool:
        """Return whether nothing in these values of `_Plan.plain` is own, in whichever field."""
        return self._clean.issuperset(values) or all(map(self._is_clean, values))

    def _is_clean(self, value: Any, *, inside: bool = False) -> bool:
        """Return whether the value is clean in every field: names count too, although some fields
        are not searched for them. Items of a tuple are remembered only with the tuple."""
        if value in self._clean:
            return True
        length = 0
        if type(value) is str:
            clean, length = self.clean_text(value, SCRUBBED, names=True) == value, len(value)
        elif type(value) is tuple:
            clean = all(self._is_clean(item, inside=True) for item in value)
            length = sum(len(item) for item in value if type(item) is str)
        elif isinstance(value, _REPEATED_STRUCTS):
            clean = _struct(value, self) is value
        else:
            return True  # a member of an enumeration of ours
        if clean and not inside and length <= _MAX_LENGTH:
            if len(self._clean) >= _MAX_REMEMBERED:  # the next round adds what still occurs
                self._clean = {None, ()}
            self._clean.add(value)
        return clean

    def clean_text(self, value: str, mark: str, names: bool) -> str:
        """Return the text without own addresses and, when `names`, without own names."""
        if names:
            value = self.encoded.remove_from_text(value, mark)
        if self.spelled:
            value = self.spelled.sub(mark, value)
        if ":" in value or "%3" in value or "&#58;" in value:
            value = _V6_CANDIDATE.sub(lambda m: mark if self._own_v6(m[0]) else m[0], value)
        if names and self.named:
            value = self.named.sub(mark, value)
        return mark if names and self.hidden.is_in_text(value) else value

    def _own_v6(self, candidate: str) -> bool:
        if not self.addresses:
            return False
        plain = re.sub(_COLON, ":", candidate).partition("%")[0]
        # A port may follow without brackets; punctuation may surround the address.
        for text in (plain, plain.rpartition(":")[0], plain.strip(":")):
            try:
                ip = ipaddress.IPv6Address(text)
            except ValueError:
                continue
            if ip in self.addresses or (ip.ipv4_mapped or ip) in self.addresses:
                return True
            if any(ip in link for link in self.links):
                return True
        return False

    def clean_bytes(self, value: bytes) -> bytes:
        """Return the bytes without own addresses and names, as text or in binary."""
        mark = SCRUBBED.encode()
        text = self.encoded.remove_from_der(value, mark).decode("latin-1")
        cleaned = self.clean_text(text, SCRUBBED, names=True)
        value = cleaned.encode("latin-1")
        for packed in self.packed:
            value = value.replace(packed, mark)
        return mark if self._hides_in(value) else value

    def clean_sender(self, value: str, mark: str) -> str:
        """Return an ICMP sender, or the mark when it is inside the volunteer's network."""
        try:
            ip = ipaddress.ip_address(value.partition("%")[0])
        except ValueError:
            return self.clean_text(value, mark, names=True)
        own = any(ip.version == near.version and ip in near for near in self.networks)
        carrier = ip.version == 4 and ip in _CARRIER_NAT
        hidden = own or (ip.is_private and not carrier) or ip.is_link_local
        return mark if hidden and not ip.is_loopback else value


@functools.lru_cache(maxsize=2)
def _own_patterns(own: tuple[str, ...]) -> _OwnPatterns:
    addresses: set[_Address] = set()
    names: set[str] = set()
    for text in own:
        bare = text.strip().strip("[]").partition("%")[0].rstrip(".")
        try:
            ip = ipaddress.ip_address(bare)
        except ValueError:
            if len(bare) > 1 and bare.lower() not in _GENERIC_NAMES:
                names.add(bare)
            continue
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        if not (ip.is_loopback or ip.is_unspecified):
            addresses.add(ip)
    # Longer names first, so that a host name is removed together with its domain.
    return _OwnPatterns(frozenset(addresses), tuple(sorted(names, key=lambda n: (-len(n), n))))


def _spellings(ip: _Address) -> list[str]:
    """Regular expressions for the notations of an address."""
    if ip.version == 4:
        octets = [f"0{{0,2}}{octet}" for octet in ip.packed]
        forward, backward = _DOT.join(octets), _DOT.join(reversed(octets))
        ways = (forward, backward)
        spellings = [rf"{_not_after('0-9')}(?:{'|'.join(ways)})(?![0-9])"]
        if ip.is_global:
            numbers = f"(?:0x)?{ip.packed.hex()}|{int(ip)}"
            spellings.append(rf"{_not_after('0-9A-Za-z')}(?:{numbers})(?![0-9A-Za-z])")
        return spellings
    groups = ip.exploded.split(":")
    nibbles = r"\.".join(reversed(ip.packed.hex()))
    expanded = "[-:]".join(f"0{{0,3}}{group.lstrip('0') or '0'}" for group in groups)
    return [
        rf"{_not_after('0-9A-Fa-f:')}{re.escape(ip.compressed)}(?![0-9A-Fa-f])",
        rf"{_not_after('0-9A-Za-z')}(?:{expanded}|{ip.packed.hex()}|{nibbles})(?![0-9A-Za-z])",
        rf"{_not_after('0-9A-Fa-f-')}{re.escape(ip.compressed.replace(':', '-'))}(?![0-9A-Fa-f])",
    ]


def _struct(value: Any, patterns: _OwnPatterns) -> Any:
    """Return a msgspec struct with every field scrubbed, within the limits of the field's type."""
    kind: type = type(value)
    if kind is Unrecognised:
        return msgspec.structs.replace(value, raw=_raw(value.raw, patterns))
    plan = _plan(kind)
    fields = plan.others
    if plan.plain and not patterns.all_clean(plan.values(value)):
        fields = plan.plain + plan.others
    changed: dict[str, Any] = {}
    for name, fit in fields:
        old = getattr(value, name)
        if not old:  # None or empty
            continue
        new = _value(old, name, fit, patterns)
        if new is not old:
            changed[name] = new
    return msgspec.structs.replace(value, **with_new_hashes(value, changed)) if changed else value


def _value(old: Any, name: str, fit: _Fit, patterns: _OwnPatterns) -> Any:
    if type(old) is str:
        return _fit_text(patterns, old, name, fit)
    if type(old) is tuple:
        items = tuple([_value(item, name, fit, patterns) for item in old])
        return old if all(map(operator.is_, items, old)) else items
    if type(old) is bytes:
        octets = patterns.clean_bytes(old)
        return old if octets == old else octets[: max(len(old), 64)]
    if isinstance(old, msgspec.Struct):
        return _struct(old, patterns)
    return old


def _fit_text(patterns: _OwnPatterns, old: str, name: str, fit: _Fit) -> str:
    """Return a field's text without own addresses and names, truncated to its type's limit."""
    for mark in (SCRUBBED, _PLAIN_MARK):
        # A field that allows no brackets holds constants, such as `udp`, and no names.
        new = _text(old, name if mark == SCRUBBED else "id", mark, patterns)
        if new == old:
            return old
        fitted = fit(new, old)
        if fitted is not old:
            return fitted
    return old


def _text(value: str, name: str, mark: str, patterns: _OwnPatterns) -> str:
    if name in _ICMP_SENDERS:
        return patterns.clean_sender(value, mark)
    return patterns.clean_text(value, mark, names=name not in _CATALOGUE_FIELDS)


_Field = tuple[str, _Fit]
"""A field's name, and the function that fits a text to its type; ids and hashes stay."""


class _Plan(NamedTuple):
    """The fields of a struct type that may contain text."""

    plain: tuple[_Field, ...]
    """Texts, and structs that occur in every round, without senders of ICMP errors: those have
    rules of their own."""
    others: tuple[_Field, ...]
    values: Callable[[Any], tuple[Any, ...]]
    """Returns the values of the plain fields."""


@functools.cache
def _plan(kind: type[msgspec.Struct]) -> _Plan:
    plain: list[_Field] = []
    others: list[_Field] = []
    for described in msgspec.structs.fields(kind):
        try:
            inside = msgspec.inspect.type_info(described.type)
        except TypeError:  # the union of observations: structs, which have fields of their own
            others.append((described.name, _keep))
            continue
        if not _holds_no_text(inside):
            simple = _is_plain(inside) and described.name not in _ICMP_SENDERS
            (plain if simple else others).append((described.name, _fitter(inside)))
    names = [name for name, _ in plain]
    # Of one name alone it would give no tuple.
    values = operator.attrgetter(*names, *names[:1]) if names else lambda value: ()
    return _Plan(tuple(plain), tuple(others), values)


def _is_plain(described: msgspec.inspect.Type) -> bool:
    match described:
        case msgspec.inspect.UnionType():
            return all(_is_plain(each) or _holds_no_text(each) for each in described.types)
        case msgspec.inspect.VarTupleType():
            return _is_plain(described.item_type)
        case msgspec.inspect.StructType():
            return issubclass(described.cls, _REPEATED_STRUCTS)
        case _:
            return isinstance(described, msgspec.inspect.StrType)


def _holds_no_text(described: msgspec.inspect.Type) -> bool:
    """Whether the type is a number or an enumeration of ours."""
    if isinstance(described, msgspec.inspect.UnionType):
        return all(map(_holds_no_text, described.types))
    return isinstance(
        described,
        msgspec.inspect.IntType
        | msgspec.inspect.FloatType
        | msgspec.inspect.BoolType
        | msgspec.inspect.EnumType
        | msgspec.inspect.NoneType,
    )


def _keep(new: str, old: str) -> str:
    return old


def _fitter(described: msgspec.inspect.Type) -> _Fit:
    match described:
        case msgspec.inspect.StrType():
            longest, pattern = described.max_length, described.pattern

            def fit(new: str, old: str) -> str:
                cut = new[:longest]
                return cut if pattern is None or re.search(pattern, cut) else old

            return fit
        case msgspec.inspect.VarTupleType():
            return _fitter(described.item_type)
        case msgspec.inspect.UnionType():
            for each in described.types:
                if isinstance(each, msgspec.inspect.StrType):
                    return _fitter(each)
    return _keep


def _raw(raw: bytes, patterns: _OwnPatterns) -> bytes:
    """Scrub the JSON of an unknown observation; without a match it stays byte for byte."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return patterns.clean_bytes(raw)
    cleaned = _json(value, "", patterns)
    return raw if cleaned == value else msgspec.json.encode(cleaned)


def _json(value: Any, key: str, patterns: _OwnPatterns) -> Any:
    match value:
        case str():
            opened = _base64(value, patterns)
            return opened if opened != value else _text(value, key, SCRUBBED, patterns)
        case list():
            return [_json(item, key, patterns) for item in value]
        case dict():
            return {
                patterns.clean_text(name, SCRUBBED, names=False): _json(item, name, patterns)
                for name, item in value.items()
            }
        case _:
            return value


def _base64(value: str, patterns: _OwnPatterns) -> str:
    """Scrub a text that may be base64, which is how JSON holds bytes."""
    try:
        inner = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return (
        value if (new := patterns.clean_bytes(inner)) == inner else base64.b64encode(new).decode()
    )
