# SPDX-License-Identifier: Apache-2.0
"""One request to the monitor's web server, for enrolling, leaving and the like: directly, and
through the volunteer's proxy where that does not reach the monitor.

The calls block, so they run outside the event loop. The standard library's HTTP would cost a probe
more than a megabyte of memory beside h11.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec

from probes.runtime.broker_url import WEB_PORTS, Broker
from probes.runtime.dial import dial
from probes.runtime.monitor_tls import monitor_tls
from probes.runtime.options import authority
from probes.runtime.private_authority import remedy
from probes.runtime.proxy import Proxy
from probes.runtime.traffic_meter import OpenSocket

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
    family: int = 0,
    proxy: Proxy | None = None,
    authorization: str = "",
) -> tuple[int, bytes]:
    """POST JSON (GET without a body), and return status and body of the answer. Redirects are not
    followed, because the body contains a secret. `family` restricts the connection to that of the
    addresses, if it is not 0; `authorization` is the value of the header. Raises EnrolmentError."""
    scheme, host, port, base = _parts(url)
    if " " in host:
        raise EnrolmentError(f"collector {host!r}: not a host name")
    way = Broker(scheme=scheme, host=host, port=port or WEB_PORTS[scheme], proxy=proxy)
    content = b"" if body is None else msgspec.json.encode(body)
    try:
        request = h11.Request(
            method="GET" if body is None else "POST",
            target=base + path,
            headers=[
                ("Host", authority(host.encode("idna").decode(), port) if port else host),
                ("Accept", "application/json"),
                ("Connection", "close"),
                *([("Authorization", authorization)] if authorization else ()),
                *(() if body is None else _described(content)),
            ],
        )
        deadline = time.monotonic() + seconds
        with contextlib.closing(_connected(way, family, seconds)) as sock:
            return _asked(sock, request, content, deadline)
    except ssl.SSLCertVerificationError as error:
        advice = remedy(error) or "check this machine's clock, and ask your operator"
        raise NotReachedError(
            f"collector {host}: its certificate is not valid ({error.verify_message}): {advice}"
        ) from None
    except (UnicodeError, h11.LocalProtocolError):
        raise EnrolmentError(f"collector {host!r}: not a host name") from None
    except ssl.SSLError as error:
        raise NotReachedError(
            f"collector {host}: no TLS connection ({(error.reason or '').lower()}): something on "
            "the path may interfere; try again from another network, or ask your operator"
        ) from None
    except (OSError, EOFError, h11.RemoteProtocolError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        through = f" through {proxy.name}" if proxy else ""
        raise NotReachedError(
            f"collector {host} port {way.port}: cannot be reached{through} ({reason}): check the "
            "connection and try again"
        ) from None


def _described(content: bytes) -> tuple[tuple[str, str], ...]:
    return ("Content-Type", "application/json"), ("Content-Length", str(len(content)))


def _connected(way: Broker, family: int, seconds: float) -> OpenSocket:
    """Raises OSError."""
    sock = dial(way, lambda _: None, seconds, family)
    sock.settimeout(seconds)
    if not way.encrypted:
        return sock
    try:
        return monitor_tls().wrap_socket(sock, server_hostname=way.host)
    except BaseException:
        sock.close()
        raise


def _asked(
    sock: OpenSocket, request: h11.Request, content: bytes, deadline: float
) -> tuple[int, bytes]:
    """Status and body of the answer. Raises OSError, EOFError and h11.RemoteProtocolError."""
    protocol = h11.Connection(h11.CLIENT)
    events = (request, h11.Data(data=content), h11.EndOfMessage())
    sock.sendall(b"".join(protocol.send(event) or b"" for event in events))
    status, body = 0, b""
    while len(body) <= ANSWER_LIMIT:
        match protocol.next_event():
            case h11.NEED_DATA:
                if time.monotonic() > deadline:
                    raise TimeoutError("no whole answer in time")
                protocol.receive_data(sock.recv(16384))
            case h11.Response() as answer:
                status = answer.status_code
            case h11.Data() as part:
                body += part.data
            case h11.EndOfMessage() | h11.PAUSED:
                break
            case h11.ConnectionClosed():
                raise EOFError("the connection ended before the answer")
            case _:
                pass  # 1xx
    return status, body[:ANSWER_LIMIT]


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
