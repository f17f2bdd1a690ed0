# SPDX-License-Identifier: Apache-2.0
"""`matrix`: a homeserver answers a client's first request over TLS, `GET /_matrix/client/versions`.

Success is status 200 and a JSON object with a list `versions`. TLS has proved whose server it is.
Whether messages are delivered cannot be known without an account.

Source: Matrix specification v1.11, Client-Server API, "API Versions".
"""

from __future__ import annotations

import json

import h11

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.app_handshake import exchange_over_tls
from probes.steps.app import MAX_REPLY_BYTES, AppRequest, NoReply, Parsed, Reply

PATH = "/_matrix/client/versions"


async def measure(run: EndpointRun) -> None:
    """As `tls`, and the request on the first usable connection."""
    host, path = run.endpoint.server_name, run.endpoint.path
    await exchange_over_tls(run, lambda: request(host, PATH if path == "/" else path))


def request(host: str, path: str = PATH) -> AppRequest:
    """Return the request to a homeserver; `path` is the catalogue's."""
    # As a browser's fetch() sends it, for the web client is one.
    hello = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\n"
        "Accept: application/json\r\nUser-Agent: Mozilla/5.0 (Linux; Android 10; K) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36\r\n\r\n"
    )
    return AppRequest(hello.encode("ascii", "replace"), parse)


def parse(received: bytes) -> Parsed:
    """Parse everything received."""
    if not received.startswith(b"HTTP/1."[: len(received)]):
        return NoReply.FOREIGN
    try:
        answer = _read(received)
    except h11.RemoteProtocolError:
        return NoReply.FOREIGN
    if answer is None:
        return NoReply.FOREIGN if len(received) >= MAX_REPLY_BYTES else NoReply.INCOMPLETE
    status, body = answer
    try:
        versions = json.loads(body)["versions"] if status == 200 else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return NoReply.FOREIGN
    return Reply("versions") if isinstance(versions, list) else NoReply.FOREIGN


def _read(received: bytes) -> tuple[int, bytes] | None:
    """Status and body of the answer; None while it is incomplete. Any status but 200 needs no
    body. Raises h11.RemoteProtocolError."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target=PATH, headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    if received:  # none would mean the end of the connection
        connection.receive_data(received)
    status, body = 0, b""
    while True:
        match connection.next_event():
            case h11.Response() as response:
                status = response.status_code
                if status != 200:
                    return status, b""
            case h11.Data() as chunk:
                body += chunk.data
            case h11.EndOfMessage():
                return status, body
            case h11.InformationalResponse():
                pass
            case _:
                return None
