# SPDX-License-Identifier: Apache-2.0
"""Enrolment: exchanging a token for this probe's own credentials, and revoking them.

The token names the collector and contains a one-time secret. The credentials are stored in the
state directory with mode 0600 and never printed. HTTP is the standard library's; its calls block,
so they run outside the event loop. The collector decides which role and owner a token gives.
"""

from __future__ import annotations

import http.client
import ipaddress
import secrets
import ssl
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import certifi
import msgspec

from probes import state_directory
from probes.delivery.ways import in_order, of_web_server
from probes.runtime.private_authority import remedy
from probes.wire.bounds import ASN, ProbeId, Text
from probes.wire.bounds import Token as Wire
from probes.wire.enrolment_token import EnrolmentToken

FILE = "enrolment.json"
IDENTITY = "identity.json"
ANSWER_LIMIT = 65536
_VISIBLE = r"^[\x21-\x7e]+\Z"
"""Whoever chooses user and secret also chooses the broker's address: no line of theirs may be a
command to another service in the volunteer's network."""
SECONDS = 20.0
WHOAMI_SECONDS = 4.0
_SPENT = (400, 401, 403, 404, 409, 410)
"""HTTP statuses after which this token will never do."""


class EnrolmentError(Exception):
    """Enrolling or leaving failed. The text is one line and holds no secret."""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """This probe's credentials, as the collector gave them."""

    probe: ProbeId
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_VISIBLE)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=_VISIBLE)]
    broker: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Broker URLs, in the order to try them."""
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


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of a collector URL. Raises EnrolmentError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EnrolmentError(f"collector {url!r}: not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise EnrolmentError(f"collector {url!r}: must be an http:// or https:// URL")
    return parts.scheme, parts.hostname, port or 0, parts.path.rstrip("/")


def _ask(
    url: str,
    path: str,
    body: dict[str, str] | None,
    seconds: float = SECONDS,
    source: str = "",
) -> tuple[int, bytes]:
    """POST JSON (GET without a body). Redirects are not followed, because the body contains a
    secret. `source` is the local address: the wildcard of a family restricts the connection to that
    family."""
    scheme, host, port, base = _parts(url)
    port = port or (443 if scheme == "https" else 80)
    own = (source, 0) if source else None
    connection: http.client.HTTPConnection | None = None
    try:
        if scheme == "https":
            context = ssl.create_default_context()
            context.load_verify_locations(certifi.where())
            connection = http.client.HTTPSConnection(
                host, port, timeout=seconds, context=context, source_address=own
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=seconds, source_address=own)
        connection.request(
            "GET" if body is None else "POST",
            base + path,
            body=None if body is None else msgspec.json.encode(body),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_LIMIT)
    except ssl.SSLCertVerificationError as error:
        advice = remedy(error) or "check this machine's clock, and ask your operator"
        raise EnrolmentError(
            f"collector {host}: its certificate is not valid ({error.verify_message}): {advice}"
        ) from None
    except (UnicodeError, http.client.InvalidURL):
        raise EnrolmentError(f"collector {host!r}: not a host name") from None
    except ssl.SSLError as error:
        raise EnrolmentError(
            f"collector {host}: no TLS connection ({(error.reason or '').lower()}): something on "
            "the path may interfere; try again from another network, or ask your operator"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise EnrolmentError(
            f"collector {host} port {port}: cannot be reached ({reason}): check the connection and "
            "try again"
        ) from None
    finally:
        if connection is not None:
            connection.close()


def _answer(url: str, status: int, body: bytes) -> dict[str, Any]:
    """The collector's answer, which is a JSON object whatever it is about. Raises EnrolmentError
    where something else answers: a portal, a block page, or a proxy in front of the collector."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    if status == 429 or status >= 500:
        raise EnrolmentError(f"the collector refused: HTTP status {status}: try again later")
    raise EnrolmentError(
        f"collector {_parts(url)[1]}: something else answers there (HTTP status {status}): if this "
        "network asks you to log in, do that and try again; otherwise ask your operator"
    )


def _reason(status: int, answer: dict[str, Any]) -> str:
    """The collector's reason for refusing, as one printable line."""
    words = answer.get("error")
    reason = "".join(c for c in words if c.isprintable())[:200] if isinstance(words, str) else ""
    return reason or f"HTTP status {status}"


def is_open(url: str) -> bool:
    """Whether others on the path can read what is sent there: plain HTTP, beyond this machine.
    Raises EnrolmentError."""
    scheme, host, _, _ = _parts(url)
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost" or host.endswith(".localhost")
    return scheme == "http" and not own


def enrol(token: EnrolmentToken, software: str) -> Enrolment:
    """Exchange the token for credentials. Raises EnrolmentError."""
    body = {"token_id": token.id, "secret": token.secret, "software": software}
    status, content = _ask(token.url, "/api/v1/enrol", body)
    answer = _answer(token.url, status, content)
    if status not in (200, 201):
        advice = "ask your operator for a new token" if status in _SPENT else "try again later"
        raise EnrolmentError(f"the collector refused: {_reason(status, answer)}: {advice}")
    if isinstance(answer.get("broker"), str):
        answer["broker"] = answer["broker"].split(",")
    try:
        enrolled = msgspec.convert({**answer, "url": token.url}, Enrolment)
        in_order(urls_of(enrolled))
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


def leave(enrolment: Enrolment) -> None:
    """Ask the collector to revoke these credentials. Raises EnrolmentError."""
    if not enrolment.url:
        return
    body = {"probe": enrolment.probe, "user": enrolment.user, "secret": enrolment.secret}
    status, content = _ask(enrolment.url, "/api/v1/leave", body)
    answer = _answer(enrolment.url, status, content)
    # 403, 404, 410: it no longer knows this probe, which was the purpose.
    if status not in (200, 202, 204, 403, 404, 410):
        raise EnrolmentError(f"the collector refused: {_reason(status, answer)}")


def seen_from_outside(directory: Path) -> tuple[str, ...]:
    """Return this machine's public addresses, as seen by the collector of the enrolment in this
    directory; none without an enrolment or an answer."""
    try:
        enrolled = load(directory)
    except EnrolmentError:
        return ()
    return whoami(enrolled.url) if enrolled is not None and enrolled.url else ()


def whoami(url: str) -> tuple[str, ...]:
    """Return this machine's public addresses as the collector sees them, IPv4 first; none without
    an answer.

    The collector is asked over both address families, because a service may be reached over either
    and block pages repeat the client's address. The addresses stay in memory: they are used to look
    up country and network, and to remove them from measurements. Network errors are not raised.
    Takes at most twice WHOAMI_SECONDS.
    """
    found = (_seen(url, source) for source in ("0.0.0.0", "::"))
    return tuple(dict.fromkeys(address for address in found if address))


def _seen(url: str, source: str) -> str:
    class Answer(msgspec.Struct):
        address: str

    try:
        status, answer = _ask(url, "/api/v1/whoami", None, WHOAMI_SECONDS, source)
        address = msgspec.json.decode(answer, type=Answer).address if status == 200 else ""
        return str(ipaddress.ip_address(address)) if address else ""
    except (EnrolmentError, ValueError):
        return ""
