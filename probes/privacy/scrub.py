# SPDX-License-Identifier: Apache-2.0
"""Removes the volunteer's own addresses and names from a measurement before it is stored. Pure.

Block pages, redirects, certificates and host names echo the address of whoever asked. Every string
and every bytes field is searched, also base64 and JSON of observations that this version does not
know. The other rule of this file: facts of the catalogue (host names of services) are no secret
and stay, even if the volunteer's machine is called `signal`.
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

from probes.privacy.encoded_addresses import Disguises, unpacked, whole, without_hashes
from probes.wire.measurement import EndpointRef, Measurement, Software, Vantage
from probes.wire.observation import Unrecognised

SCRUBBED = "[scrubbed]"
_BARE = "scrubbed"
"""Where the wire format allows no brackets."""
_OF_THE_CATALOGUE = frozenset(
    (
        "endpoint",
        "name",
        "sni",
        "host",
        "path",
        "id",
        "target",
        "step",
        "resolver",
        "protocol",
        "purpose",
        "contrast",
        "failure",
        "transport",
    )
)
"""Fields that repeat the catalogue or are words of ours: own names are not looked for in them."""
_NO_SECRETS = frozenset(("localhost", "localdomain", "localhost.localdomain", "local", "(none)"))
_ICMP_SENDERS = ("icmp_from", "router")
_CARRIER_NAT = ipaddress.ip_network("100.64.0.0/10")
_NEIGHBOURS = {4: 24, 6: 48}
"""Prefix that counts as the volunteer's own network; homes get up to a /48 (RFC 6177)."""
_HOME_V6 = 64
"""One link: other addresses in it are the same machine's temporary ones (RFC 8981)."""
_DOT = r"(?:[._-]|%2[eE]|&#46;)"


def _not_after(characters: str) -> str:
    """What may not stand before a finding: `11.2.3.4` is not `1.2.3.4`, but `%201.2.3.4` is."""
    return rf"(?:(?<![{characters}])|(?<=%[0-9A-Fa-f]{{2}}))"


_COLON = r"(?::|%3[aA]|&#58;)"
_V6_CANDIDATE = re.compile(
    rf"{_not_after('0-9A-Fa-f%')}(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,8}}"
    r"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?:%[0-9A-Za-z]{1,15})?"
)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Fit = Callable[[str, str], str]
_REMEMBERED, _SHORT = 2400, 256
"""Values remembered as clean, more than a round has, for each says the same again; and the most
characters of one."""
_REPEATED = (EndpointRef, Vantage, Software)


def scrub(measurement: Measurement, own: Sequence[str]) -> Measurement:
    """Return the measurement without the volunteer's own addresses, host name and domain.

    `own` holds addresses (IPv4, IPv6) and names in any order; loopback addresses and `localhost`
    name nobody and are left alone. In every spelling they become `[scrubbed]` (also as in
    `probes.privacy.encoded_addresses`); so does the sender of an ICMP error, private or in an own
    network."""
    secrets = _secrets(tuple(own))
    return whole(measurement, _struct(measurement, secrets), SCRUBBED)


class _Secrets:
    """Patterns of what must not leave."""

    def __init__(self, addresses: frozenset[_Address], names: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.neighbourhoods = tuple(
            ipaddress.ip_network(f"{ip}/{_NEIGHBOURS[ip.version]}", strict=False)
            for ip in addresses
        )
        self.homes = tuple(
            ipaddress.ip_network(f"{ip}/{_HOME_V6}", strict=False)
            for ip in addresses
            if ip.version == 6 and ip.is_global
        )
        spellings = [s for ip in sorted(addresses, key=str) for s in _spellings(ip)]
        self.spelled = re.compile("|".join(spellings), re.IGNORECASE) if spellings else None
        named = [rf"{_not_after('0-9A-Za-z')}{re.escape(name)}(?![0-9A-Za-z])" for name in names]
        self.named = re.compile("|".join(named), re.IGNORECASE) if named else None
        # Four bytes of a private address turn up by chance in any file; of a global one hardly.
        self.packed = tuple(ip.packed for ip in addresses if ip.version == 6 or ip.is_global)
        self.disguises = Disguises(addresses, names)
        self._clean: set[Any] = {None, ()}

    def all_clean(self, values: tuple[Any, ...]) -> bool:
        """Nothing in these values of `_Plan.plain` is ours, whichever field they stand in."""
        return self._clean.issuperset(values) or all(map(self._is_clean, values))

    def _is_clean(self, value: Any, *, inside: bool = False) -> bool:
        """As in the strictest of fields: with names, which some fields are not searched for. What
        stands inside of a tuple is remembered with the tuple alone."""
        if value in self._clean:
            return True
        length = 0
        if type(value) is str:
            clean, length = self.text(value, SCRUBBED, names=True) == value, len(value)
        elif type(value) is tuple:
            clean = all(self._is_clean(item, inside=True) for item in value)
            length = sum(len(item) for item in value if type(item) is str)
        elif isinstance(value, _REPEATED):
            clean = _struct(value, self) is value
        else:
            return True  # a word of an enumeration of ours
        if clean and not inside and length <= _SHORT:
            if len(self._clean) >= _REMEMBERED:  # the next round brings back what is still said
                self._clean = {None, ()}
            self._clean.add(value)
        return clean

    def text(self, value: str, mark: str, names: bool) -> str:
        """Return the text without own addresses and, when `names`, without own names."""
        if names:
            value = self.disguises.struck_out(value, mark)
        if self.spelled:
            value = self.spelled.sub(mark, value)
        if ":" in value or "%3" in value or "&#58;" in value:
            value = _V6_CANDIDATE.sub(lambda m: mark if self._own_v6(m[0]) else m[0], value)
        if names and self.named:
            value = self.named.sub(mark, value)
        return value

    def _own_v6(self, candidate: str) -> bool:
        if not self.addresses:
            return False
        plain = re.sub(_COLON, ":", candidate).partition("%")[0]
        # A port may follow without brackets, a sentence's colon may surround it.
        for text in (plain, plain.rpartition(":")[0], plain.strip(":")):
            try:
                ip = ipaddress.IPv6Address(text)
            except ValueError:
                continue
            if ip in self.addresses or (ip.ipv4_mapped or ip) in self.addresses:
                return True
            if any(ip in home for home in self.homes):
                return True
        return False

    def octets(self, value: bytes) -> bytes:
        """Return the bytes without own addresses and names, as text or packed."""
        mark = SCRUBBED.encode()
        text = self.disguises.octets(value, mark).decode("latin-1")
        cleaned = self.text(text, SCRUBBED, names=True)
        value = cleaned.encode("latin-1")
        for packed in self.packed:
            value = value.replace(packed, mark)
        page = unpacked(value)
        return value if not page or self.octets(page) == page else mark

    def sender(self, value: str, mark: str) -> str:
        """Return an ICMP sender, or the mark when it is inside the volunteer's network."""
        try:
            ip = ipaddress.ip_address(value.partition("%")[0])
        except ValueError:
            return self.text(value, mark, names=True)
        own = any(ip.version == near.version and ip in near for near in self.neighbourhoods)
        carrier = ip.version == 4 and ip in _CARRIER_NAT
        hidden = own or (ip.is_private and not carrier) or ip.is_link_local
        return mark if hidden and not ip.is_loopback else value


@functools.lru_cache(maxsize=2)
def _secrets(own: tuple[str, ...]) -> _Secrets:
    addresses: set[_Address] = set()
    names: set[str] = set()
    for text in own:
        bare = text.strip().strip("[]").partition("%")[0].rstrip(".")
        try:
            ip = ipaddress.ip_address(bare)
        except ValueError:
            if len(bare) > 1 and bare.lower() not in _NO_SECRETS:
                names.add(bare)
            continue
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        if not (ip.is_loopback or ip.is_unspecified):
            addresses.add(ip)
    # The longer first, so that a host name goes with its domain.
    return _Secrets(frozenset(addresses), tuple(sorted(names, key=lambda n: (-len(n), n))))


def _spellings(ip: _Address) -> list[str]:
    """Regular expressions for an address as people and programs write it."""
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


def _struct(value: Any, secrets: _Secrets) -> Any:
    """Return a msgspec struct with every field scrubbed within the bounds of its type."""
    kind: type = type(value)
    if kind is Unrecognised:
        return msgspec.structs.replace(value, raw=_raw(value.raw, secrets))
    plan = _plan(kind)
    fields = plan.others
    if plan.plain and not secrets.all_clean(plan.values(value)):
        fields = plan.plain + plan.others
    changed: dict[str, Any] = {}
    for name, fit in fields:
        old = getattr(value, name)
        if not old:  # nothing, or nothing in it
            continue
        new = _value(old, name, fit, secrets)
        if new is not old:
            changed[name] = new
    return msgspec.structs.replace(value, **without_hashes(value, changed)) if changed else value


def _value(old: Any, name: str, fit: _Fit, secrets: _Secrets) -> Any:
    if type(old) is str:
        return _fitted(secrets, old, name, fit)
    if type(old) is tuple:
        items = tuple([_value(item, name, fit, secrets) for item in old])
        return old if all(map(operator.is_, items, old)) else items
    if type(old) is bytes:
        octets = secrets.octets(old)
        return old if octets == old else octets[: max(len(old), 64)]
    if isinstance(old, msgspec.Struct):
        return _struct(old, secrets)
    return old


def _fitted(secrets: _Secrets, old: str, name: str, fit: _Fit) -> str:
    """Return a field's text without what is ours, cut to what its type allows."""
    for mark in (SCRUBBED, _BARE):
        # A field without brackets holds words of ours, such as `udp`, and no names.
        new = _text(old, name if mark == SCRUBBED else "id", mark, secrets)
        if new == old:
            return old
        fitted = fit(new, old)
        if fitted is not old:
            return fitted
    return old


def _text(value: str, name: str, mark: str, secrets: _Secrets) -> str:
    if name in _ICMP_SENDERS:
        return secrets.sender(value, mark)
    return secrets.text(value, mark, names=name not in _OF_THE_CATALOGUE)


_Field = tuple[str, _Fit]
"""A field's name, and what cuts a text to its type; ids and hashes allow no mark and stay."""


class _Plan(NamedTuple):
    """The fields of a kind of struct that may hold a text."""

    plain: tuple[_Field, ...]
    """Texts, and structs that every round repeats. Not who sent an ICMP error: more goes there."""
    others: tuple[_Field, ...]
    values: Callable[[Any], tuple[Any, ...]]
    """Gives the values of the plain fields."""


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
            return issubclass(described.cls, _REPEATED)
        case _:
            return isinstance(described, msgspec.inspect.StrType)


def _holds_no_text(described: msgspec.inspect.Type) -> bool:
    """Numbers, and words of an enumeration of ours."""
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


def _raw(raw: bytes, secrets: _Secrets) -> bytes:
    """Scrub the JSON of an unknown observation; without a finding it stays byte for byte."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return secrets.octets(raw)
    cleaned = _json(value, "", secrets)
    return raw if cleaned == value else msgspec.json.encode(cleaned)


def _json(value: Any, key: str, secrets: _Secrets) -> Any:
    match value:
        case str():
            opened = _base64(value, secrets)
            return opened if opened != value else _text(value, key, SCRUBBED, secrets)
        case list():
            return [_json(item, key, secrets) for item in value]
        case dict():
            return {
                secrets.text(name, SCRUBBED, names=False): _json(item, name, secrets)
                for name, item in value.items()
            }
        case _:
            return value


def _base64(value: str, secrets: _Secrets) -> str:
    """Scrub inside a text that may be base64, as bytes are in JSON."""
    try:
        inner = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return value if (new := secrets.octets(inner)) == inner else base64.b64encode(new).decode()
