# SPDX-License-Identifier: Apache-2.0
"""Enrolment: exchanging a token for this probe's own credentials, and revoking them.

The token names the collector and contains a one-time secret. The credentials are stored in the
state directory with mode 0600 and never printed. The requests block, so they run outside the event
loop. The collector decides which role and owner a token gives.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from pathlib import Path
from typing import Annotated

import msgspec

from probes import state_directory
from probes.delivery import signing_key
from probes.delivery.monitor_request import EnrolmentError, exchange, is_open, post
from probes.delivery.monitor_ways import web_server
from probes.delivery.signing_key import SigningKey
from probes.delivery.ways import in_order, of_web_server
from probes.runtime.proxy import Proxy
from probes.wire.batch_signature import key_text
from probes.wire.bounds import ASN, ProbeId, Text
from probes.wire.bounds import Token as Wire
from probes.wire.enrolment_token import EnrolmentToken

FILE = "enrolment.json"
IDENTITY = "identity.json"
_VISIBLE = r"^[\x21-\x7e]+\Z"
"""Whoever chooses user and secret also chooses the broker's address: no line of theirs may be a
command to another service in the volunteer's network."""
WHOAMI_SECONDS = 4.0
_SPENT = (400, 401, 403, 404, 409, 410)
"""HTTP statuses after which this token will never do."""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """This probe's credentials, as the collector gave them."""

    probe: ProbeId
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_VISIBLE)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=_VISIBLE)]
    broker: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)]
    """Broker URLs, in the order to try them; none where the monitor has its web server alone."""
    ways: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ()
    """Further URLs at which the monitor is reached: brokers, its web server, or addresses of them.
    """
    role: Wire = "vantage"
    owner: Text = ""
    url: str = ""
    """Base URL of the collector that enrolled this probe."""
    catalogue_key: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """Public key whose catalogues this probe takes; empty for none."""
    country: Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2})?\Z")] = ""
    """Where the monitor saw this machine when it enrolled; empty if it has no table of networks.
    The volunteer decides whether that is right."""
    asn: ASN = 0
    """The network, as for the country; 0 if unknown."""
    mark: Wire = ""
    """What this probe is recognised by in requests for retests, beside its id."""
    excerpts: bool = False
    """Whether the operator asks for the beginnings of unexpected pages."""
    key: Wire = ""
    """Id of this probe's key that the monitor verifies signatures with; empty if it has none."""


def enrol(
    token: EnrolmentToken, software: str, proxy: Proxy | None = None, key: SigningKey | None = None
) -> Enrolment:
    """Exchange the token for credentials, and give the monitor the public key. Where only the proxy
    reaches the monitor, what it says of the place is that of the proxy, and is not taken. Raises
    EnrolmentError."""
    body = {"token_id": token.id, "secret": token.secret, "software": software}
    if key is not None:
        signature = key.sign(key_text(token.id, key.public)).hex()
        body |= {"public_key": key.public, "key_signature": signature}
    answer = post(token.url, "/api/v1/enrol", body, proxy)
    if answer.status not in (200, 201):
        advice = (
            "ask your operator for a new token" if answer.status in _SPENT else "try again later"
        )
        raise EnrolmentError(f"the collector refused: {answer.reason()}: {advice}")
    fields = {**answer.fields, "url": token.url}
    if not answer.is_direct:
        fields |= {"country": "", "asn": 0}
    if isinstance(fields.get("broker"), str):
        fields["broker"] = fields["broker"].split(",")
    try:
        enrolled = msgspec.convert(fields, Enrolment)
        if not in_order(urls_of(enrolled)):
            raise ValueError("it names no way to deliver measurements")
        return enrolled
    except ValueError as error:  # msgspec.ValidationError is one
        raise EnrolmentError(
            f"the collector's answer is invalid ({error}): ask your operator"
        ) from None


def urls_of(enrolled: Enrolment) -> tuple[str, ...]:
    """Return the URLs of all ways to the monitor that were given, those of its web server too."""
    own = of_web_server(enrolled.url) if enrolled.url else ()
    return (*enrolled.broker, *enrolled.ways, *own)


def save(directory: Path, enrolment: Enrolment) -> None:
    """Store the credentials durably, with mode 0600. Raises StateError."""
    state_directory.write(directory / FILE, msgspec.json.encode(enrolment) + b"\n", 0o600)


def require_room(directory: Path) -> None:
    """Raise StateError where credentials could not be stored: the token would be lost."""
    trial = directory / f"{FILE}.trial"
    state_directory.write(trial, bytes(4096))
    trial.unlink()


def load(directory: Path) -> Enrolment | None:
    """Return the stored credentials, None when there are none. Raises EnrolmentError."""
    path = directory / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnrolmentError(f"{path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnrolmentError(
            f"{path}: damaged ({error}): run `reachprobe leave --force`, and join again with a new "
            "token"
        ) from None


def own_identity(directory: Path) -> str:
    """Return the id of a probe that is not enrolled (laboratory: `run --broker`); created once.

    Raises EnrolmentError or StateError.
    """

    class Identity(msgspec.Struct, frozen=True):
        probe: ProbeId

    path = directory / IDENTITY
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity).probe
    except FileNotFoundError:
        fresh = Identity(f"p-{secrets.token_hex(8)}")
        state_directory.write(path, msgspec.json.encode(fresh) + b"\n")
        return fresh.probe
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnrolmentError(f"{path}: damaged ({error}); remove it") from None


def renew_key(directory: Path, enrolled: Enrolment, proxy: Proxy | None = None) -> Enrolment:
    """Make a key, give it to the monitor in place of the one in use, and keep both the key and the
    enrolment that names it. One that an earlier call made and could not bring to an end is taken.
    Raises EnrolmentError, SigningKeyError and StateError."""
    new = signing_key.load(directory, signing_key.NEW) or signing_key.make()
    new.save(directory, signing_key.NEW)
    old = signing_key.load(directory) if enrolled.key else None
    text = key_text(enrolled.probe, new.public)
    wish = {
        "probe": enrolled.probe,
        "secret": enrolled.secret,
        "public_key": new.public,
        "signature": new.sign(text).hex(),
        "endorsement": old.sign(text).hex() if old is not None else "",
    }
    answer = post(web_server(directory, enrolled.url), "/api/v1/key", wish, proxy)
    if answer.status != 200 or answer.fields.get("key") != new.id:
        raise EnrolmentError(f"the monitor refused the key: {answer.reason()}")
    named = msgspec.structs.replace(enrolled, key=new.id)
    new.save(directory)
    save(directory, named)
    (directory / signing_key.NEW).unlink()
    return named


def leave(enrolment: Enrolment, proxy: Proxy | None = None, url: str = "") -> None:
    """Ask the collector to revoke these credentials, at `url` if the monitor has moved there.
    Raises EnrolmentError."""
    url = url or enrolment.url
    if not url:
        return
    body = {"probe": enrolment.probe, "user": enrolment.user, "secret": enrolment.secret}
    answer = post(url, "/api/v1/leave", body, proxy)
    # 403, 404, 410: it no longer knows this probe, which was the purpose.
    if answer.status not in (200, 202, 204, 403, 404, 410):
        raise EnrolmentError(f"the collector refused: {answer.reason()}")


def seen_from_outside(directory: Path) -> tuple[str, ...]:
    """Return this machine's public addresses, as seen by the collector of the enrolment in this
    directory; none without an enrolment or an answer."""
    try:
        enrolled = load(directory)
    except EnrolmentError:
        return ()
    if enrolled is None or not enrolled.url:
        return ()
    return whoami(web_server(directory, enrolled.url))


def whoami(url: str, authorization: str = "") -> tuple[str, ...]:
    """Return this machine's public addresses as the collector sees them, IPv4 first; none without
    an answer.

    The collector is asked over both address families, because a service may be reached over either
    and block pages repeat the client's address. The addresses stay in memory: they are used to look
    up country and network, and to remove them from measurements. No proxy is asked: the address
    would be its own. `authorization` tells it who asks, so that it can compare the network with the
    one that this probe claims; beyond this machine it is sent over TLS alone. Network errors are
    not raised. Takes at most twice WHOAMI_SECONDS.
    """
    proof = "" if is_open(url) else authorization
    found = (_seen(url, family, proof) for family in (socket.AF_INET, socket.AF_INET6))
    return tuple(dict.fromkeys(address for address in found if address))


def _seen(url: str, family: int, authorization: str) -> str:
    class Answer(msgspec.Struct):
        address: str

    try:
        status, answer = exchange(
            url,
            "/api/v1/whoami",
            None,
            seconds=WHOAMI_SECONDS,
            family=family,
            authorization=authorization,
        )
        address = msgspec.json.decode(answer, type=Answer).address if status == 200 else ""
        return str(ipaddress.ip_address(address)) if address else ""
    except (EnrolmentError, ValueError):
        return ""
