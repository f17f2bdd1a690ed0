# SPDX-License-Identifier: Apache-2.0
"""One request to the monitor's web server, for enrolling, leaving and the like: directly, and
through the volunteer's proxy where that does not reach the monitor.

HTTP is the standard library's; its calls block, so they run outside the event loop.
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from typing import Any
from urllib.parse import urlsplit

import certifi
import msgspec

from probes.runtime.broker_url import Broker
from probes.runtime.dial import dial
from probes.runtime.private_authority import remedy
from probes.runtime.proxy import Proxy

ANSWER_LIMIT = 65536
SECONDS = 20.0


class EnrolmentError(Exception):
    """Enrolling, leaving or another request failed. The text is one line and holds no secret."""


class NotReachedError(EnrolmentError):
    """The monitor did not answer: nothing did, or something else."""


class MonitorReply(msgspec.Struct, frozen=True):
    """What the monitor answered: always a JSON object, whatever it is about."""

    status: int
    fields: dict[str, Any]
    is_direct: bool = True
    """No proxy asked, so that what the monitor saw of the caller is this machine's."""

    def reason(self) -> str:
        """The monitor's reason for refusing, as one printable line."""
        words = self.fields.get("error")
        line = "".join(c for c in words if c.isprintable())[:200] if isinstance(words, str) else ""
        return line or f"HTTP status {self.status}"


def post(url: str, path: str, body: dict[str, str], proxy: Proxy | None = None) -> MonitorReply:
    """POST JSON. `proxy` is tried where the monitor cannot be reached without. Raises
    EnrolmentError."""
    try:
        return _answer(url, *exchange(url, path, body))
    except NotReachedError:
        if proxy is None:
            raise
    answer = _answer(url, *exchange(url, path, body, proxy=proxy))
    return msgspec.structs.replace(answer, is_direct=False)


def exchange(
    url: str,
    path: str,
    body: dict[str, str] | None,
    *,
    seconds: float = SECONDS,
    source: str = "",
    proxy: Proxy | None = None,
) -> tuple[int, bytes]:
    """POST JSON (GET without a body), and return status and body of the answer. Redirects are not
    followed, because the body contains a secret. `source` is the local address: the wildcard of a
    family restricts the connection to that family. Raises EnrolmentError."""
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
            context = None
            connection = http.client.HTTPConnection(host, port, timeout=seconds, source_address=own)
        if proxy is not None:
            _go_through(proxy, connection, context, seconds)
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
        raise NotReachedError(
            f"collector {host}: its certificate is not valid ({error.verify_message}): {advice}"
        ) from None
    except (UnicodeError, http.client.InvalidURL):
        raise EnrolmentError(f"collector {host!r}: not a host name") from None
    except ssl.SSLError as error:
        raise NotReachedError(
            f"collector {host}: no TLS connection ({(error.reason or '').lower()}): something on "
            "the path may interfere; try again from another network, or ask your operator"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        through = f" through {proxy.name}" if proxy else ""
        raise NotReachedError(
            f"collector {host} port {port}: cannot be reached{through} ({reason}): check the "
            "connection and try again"
        ) from None
    finally:
        if connection is not None:
            connection.close()


def _go_through(
    proxy: Proxy,
    connection: http.client.HTTPConnection,
    context: ssl.SSLContext | None,
    seconds: float,
) -> None:
    """Let the proxy make a connection, with TLS in it if there is a context. Raises OSError."""
    scheme, host = "http" if context is None else "https", connection.host
    way = Broker(scheme=scheme, host=host, port=connection.port, proxy=proxy)
    sock = dial(way, lambda _: None, seconds)
    sock.settimeout(seconds)
    connection.sock = sock
    if context is not None:
        connection.sock = context.wrap_socket(sock, server_hostname=host)


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


def _answer(url: str, status: int, body: bytes) -> MonitorReply:
    """Raises NotReachedError where something else answers: a portal, a block page, or a proxy in
    front of the collector."""
    try:
        fields: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        return MonitorReply(status, fields)
    if status == 429 or status >= 500:
        raise NotReachedError(f"the collector refused: HTTP status {status}: try again later")
    raise NotReachedError(
        f"collector {_parts(url)[1]}: something else answers there (HTTP status {status}): if this "
        "network asks you to log in, do that and try again; otherwise ask your operator"
    )


def is_open(url: str) -> bool:
    """Whether others on the path can read what is sent there: plain HTTP, beyond this machine.
    Raises EnrolmentError."""
    scheme, host, _, _ = _parts(url)
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost" or host.endswith(".localhost")
    return scheme == "http" and not own
