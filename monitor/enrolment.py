# SPDX-License-Identifier: Apache-2.0
"""Enrolment and revocation of probes: tokens and credentials. Operators have tokens as well.

A token is a right to enrol a few times; enrolling gives a probe its own name and MQTT secret.
Secrets are random and stored only as hashes: the token's as SHA-256, the MQTT secret's in
mosquitto's `$7$` form (PBKDF2-SHA512), so that one hash serves both brokers. `enrol_answer` and
`leave_answer` take and return JSON bytes; HTTP is elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from monitor.enrolment_limits import EnrolmentLimits
from monitor.signatures import proves_possession
from monitor.store.records import Probe, ProbeKey, StoreUnavailableError, Token
from monitor.store.registry import Registry
from probes.wire.batch_signature import key_id
from probes.wire.bounds import PublicKey, Signature
from probes.wire.enrolment_token import EnrolmentToken, TokenError, encode_token, parse_token
from probes.wire.measurement import Role

ITERATIONS = 101
"""Default of mosquitto_passwd (2.0.21). The secrets have 256 random bits, so slow hashing would
protect nothing and would cost the embedded broker time."""
OPERATOR = "operator"
"""Role of a token that enrols nobody: its holder writes notes on events, until it expires."""
NOBODY = "anonymous"
"""The owner of all tokens without a name, together: whoever gets several of them is still one, and
cannot confirm anything alone."""
_SALT_BYTES, _HASH_BYTES = 12, 64
_MAX_ITERATIONS = 1_000_000


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's credentials, returned once. The user name is the probe's id."""

    probe: str
    user: str
    secret: str
    role: str
    owner: str
    key: str = ""
    """Id of the key that it signs with; empty for none."""
    mark: str = ""
    """Recognises it in requests for retests (`probes.wire.retest.name`)."""


class EnrolmentRefusal(msgspec.Struct, frozen=True):
    """Why a probe was not enrolled or revoked, in words for the volunteer."""

    reason: str


def other_spelling(owner: str, known: Collection[str]) -> str | None:
    """The name among `known` from which this one differs in capitals, blanks or punctuation alone.
    Two names are two owners, and the same person under both could confirm a block alone."""
    if owner in known:
        return None
    return next((each for each in sorted(known) if _letters(each) == _letters(owner)), None)


def _letters(owner: str) -> str:
    folded = unicodedata.normalize("NFKC", owner).casefold()
    return "".join(filter(str.isalnum, folded)) or folded


def new_token(
    url: str, role: str, owner: str, uses: int, expires_ms: int, now: int
) -> tuple[Token, str]:
    """Make a token for `Registry.add_token` and its text, which exists only here.

    `expires_ms` is Unix milliseconds. Raises ValueError for an invalid role, number of uses, time
    or owner.
    """
    if role not in (*Role, OPERATOR):
        raise ValueError(f"role: must be one of {', '.join((*Role, OPERATOR))}, not {role!r}")
    if not 1 <= uses <= 100_000:
        raise ValueError(f"uses: must be 1 to 100000, not {uses}")
    if expires_ms <= now:
        raise ValueError("expires: must be in the future")
    owner = re.sub(" +", " ", owner).strip(" ")
    if not owner.isprintable() or len(owner) > 64:
        raise ValueError("owner: must be at most 64 printable characters")
    text = EnrolmentToken(
        url=url.rstrip("/"), id=secrets.token_hex(6), secret=secrets.token_hex(16)
    )
    token = Token(
        id=text.id,
        secret_sha256=_sha256(text.secret),
        role=role,
        owner=owner or NOBODY,
        uses_left=uses,
        expires=expires_ms,
        created=now,
    )
    return token, encode_token(text)


async def enrol(
    registry: Registry,
    token_id: str,
    secret: str,
    now: int,
    *,
    probe: str = "",
    seen: tuple[str, int] = ("", 0),
    public_key: str = "",
) -> Enrolled | EnrolmentRefusal:
    """Use a token once and enrol a probe. `now` is Unix milliseconds.

    `probe` is its name (a demonstration uses the same names each time); the default is a random
    id. `seen` is the country and network that the request came from, ("", 0) when unknown.
    `public_key` is the key that it signs with, empty for none.
    Every invalid token gets the same answer, so that nobody learns which ids exist.
    Raises StoreUnavailableError.
    """
    name = probe or f"p-{secrets.token_hex(8)}"
    mqtt_secret, mark = secrets.token_urlsafe(32), secrets.token_hex(8)
    record = Probe(id=name, owner="", role="", enrolled=now, seen_country=seen[0], seen_asn=seen[1])
    key = (
        ProbeKey(probe=name, id=key_id(public_key), public_key=public_key, since=now)
        if public_key
        else None
    )
    hashed = hash_secret(mqtt_secret)
    used = await registry.enrol(token_id, _sha256(secret), record, hashed, now, key, mark)
    if used is None:
        return EnrolmentRefusal("the token is unknown, used up, expired or revoked")
    return Enrolled(
        probe=name,
        user=name,
        secret=mqtt_secret,
        role=used.role,
        owner=used.owner,
        key=key.id if key is not None else "",
        mark=mark,
    )


async def operator_token(registry: Registry, text: str, now: int) -> str | None:
    """The id of a valid operator's token; None for any other text. Raises
    StoreUnavailableError."""
    try:
        token = parse_token(text.strip())
    except TokenError:
        return None
    if not re.fullmatch(_ID, token.id):
        return None
    valid = await registry.allows(token.id, _sha256(token.secret), OPERATOR, now)
    return token.id if valid else None


async def leave(registry: Registry, probe: str, secret: str, now: int) -> EnrolmentRefusal | None:
    """Revoke a probe at its own request; its MQTT secret proves who it is. None when done.

    Raises StoreUnavailableError.
    """
    kept = await registry.secret_hash(probe)
    if kept is None or not verify_secret(kept, secret):
        return EnrolmentRefusal("the probe or its secret is unknown")
    await registry.revoke_probe(probe, now)
    return None


def hash_secret(secret: str, salt: bytes | None = None) -> str:
    """Return the hash of an MQTT secret in the form of the password file of mosquitto, after the
    colon."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = _pbkdf2(secret, salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify_secret(kept: str, secret: str) -> bool:
    """Whether the secret has this hash; False for an invalid hash. Constant time."""
    try:
        empty, kind, iterations, salt, digest = kept.split("$")
        rounds = int(iterations)
        expected = base64.b64decode(digest, validate=True)
        if (empty, kind) != ("", "7") or not 1 <= rounds <= _MAX_ITERATIONS:
            return False
        actual = _pbkdf2(secret, base64.b64decode(salt, validate=True), rounds)
    except ValueError:  # binascii.Error is one
        return False
    return len(expected) == _HASH_BYTES and hmac.compare_digest(actual, expected)


def places_of(probes: Iterable[Probe]) -> Mapping[str, tuple[str, int]]:
    """Return the country and network of the latest measurements of each probe that is not revoked,
    has some, and claims no other place than it enrolled from."""
    return {
        probe.id: (probe.country, probe.asn)
        for probe in probes
        if probe.revoked is None and probe.asn and not probe.is_elsewhere(probe.country, probe.asn)
    }


class Credentials:
    """The embedded broker's `authenticate`: whether a user's secret is right and not revoked.

    The broker asks again for every connected probe every few seconds, so a secret that was right
    is remembered (as SHA-256), and all revocations are read in one query, at most once in
    `seconds`; with them, where each probe is.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._seconds, self._clock = registry, seconds, clock
        self._verified: dict[str, str] = {}
        self._active: frozenset[str] = frozenset()
        self._places: Mapping[str, tuple[str, int]] = {}
        self._refreshed_at: float | None = None
        self._turn, self._attempts = asyncio.Lock(), 0
        self._fault: StoreUnavailableError | None = None
        """Of the last attempt to read."""

    async def __call__(self, user: str, secret: str) -> bool:
        """Raises StoreUnavailableError."""
        digest = _sha256(secret)
        known = self._verified.get(user)
        if known is not None and hmac.compare_digest(known, digest):
            await self._refresh()
            if user in self._active:
                return True
            del self._verified[user]
        kept = await self._registry.secret_hash(user)
        if kept is None or not verify_secret(kept, secret):
            return False
        self._verified[user] = digest
        self._active |= {user}
        return True

    def place_of(self, user: str) -> tuple[str, int] | None:
        """The country and network of a probe's latest measurements; None when it has none, or
        claims another place than it enrolled from."""
        return self._places.get(user)

    async def _refresh(self) -> None:
        # One reads, and those that ask meanwhile take what comes of it: a flood is one query.
        asked = self._attempts
        async with self._turn:
            if self._attempts != asked and self._fault is not None:
                raise StoreUnavailableError(str(self._fault)) from self._fault
            now = self._clock()
            if self._refreshed_at is not None and now - self._refreshed_at < self._seconds:
                return
            self._fault = None
            try:
                probes = await self._registry.probes()
            except StoreUnavailableError as error:
                self._fault = error
                raise
            finally:
                self._attempts += 1
            active = [probe for probe in probes if probe.revoked is None]
            self._active = frozenset(probe.id for probe in active)
            self._places = places_of(active)
            self._refreshed_at = now


_ID = r"^[!-~]+\Z"
"""Ids go into database queries, and text in PostgreSQL holds no NUL."""


class EnrolBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `POST /api/v1/enrol`."""

    token_id: Annotated[str, msgspec.Meta(max_length=128, pattern=_ID)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    public_key: PublicKey | None = None
    key_signature: Signature = ""


class LeaveBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `POST /api/v1/leave`."""

    probe: Annotated[str, msgspec.Meta(max_length=64, pattern=_ID)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


async def enrol_answer(
    registry: Registry,
    body: bytes,
    now: int,
    brokers: Sequence[str],
    seen: tuple[str, int] = ("", 0),
    catalogue_key: str = "",
    ways: Sequence[str] = (),
    limits: EnrolmentLimits | None = None,
    address: str = "",
    excerpts: bool = False,
) -> tuple[int, bytes]:
    """HTTP status and JSON for `POST /api/v1/enrol`: {"token_id", "secret"} in, and the key
    that the probe signs with as "public_key" and "key_signature"; out come
    {"probe", "user", "secret", "broker": [URLs], "ways": [URLs], "role", "owner", "catalogue_key",
    "country", "asn", "key", "mark", "excerpts"} or {"error"}. What `limits` refuse to `address`
    leaves the token unused. `catalogue_key` is the public key that signs catalogues, empty for
    none; country and network are those of `seen`, for the volunteer to confirm; `excerpts` asks for
    the beginnings of unexpected pages."""
    try:
        wanted = msgspec.json.decode(body, type=EnrolBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return 400, _error(f"enrol: {error}")
    key = wanted.public_key or ""
    if key and not proves_possession(wanted.token_id, key, wanted.key_signature):
        return 400, _error("enrol: the key did not sign itself")
    try:
        owner = await registry.owner_of(wanted.token_id, _sha256(wanted.secret))
        if limits and owner is not None and (reason := limits.refusal(address, owner)):
            return 429, _error(reason)
        enrolment = await enrol(
            registry, wanted.token_id, wanted.secret, now, seen=seen, public_key=key
        )
        match enrolment:
            case EnrolmentRefusal(reason):
                return 403, _error(reason)
            case Enrolled() as enrolled:
                if limits:
                    limits.note(address, enrolled.owner)
                answer = {
                    **msgspec.structs.asdict(enrolled),
                    "broker": list(brokers),
                    "ways": list(ways),
                    "catalogue_key": catalogue_key,
                    "country": seen[0],
                    "asn": seen[1],
                    "excerpts": excerpts,
                }
                return 201, msgspec.json.encode(answer)
    except StoreUnavailableError:
        return 503, _error("the store is not available, try again in a minute")


async def leave_answer(registry: Registry, body: bytes, now: int) -> tuple[int, bytes]:
    """HTTP status and JSON for `POST /api/v1/leave`: {"probe", "secret"} in."""
    try:
        wanted = msgspec.json.decode(body, type=LeaveBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return 400, _error(f"leave: {error}")
    try:
        refusal = await leave(registry, wanted.probe, wanted.secret, now)
    except StoreUnavailableError:
        return 503, _error("the store is not available, try again in a minute")
    return (403, _error(refusal.reason)) if refusal else (200, b"{}")


def _error(reason: str) -> bytes:
    return msgspec.json.encode({"error": reason})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _pbkdf2(secret: str, salt: bytes, rounds: int) -> bytes:
    raw = secret.encode("utf-8", "surrogatepass")
    return hashlib.pbkdf2_hmac("sha512", raw, salt, rounds, _HASH_BYTES)
