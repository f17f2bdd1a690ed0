# SPDX-License-Identifier: Apache-2.0
"""`xmpp` (RFC 6120): a server answers the stream header that a client sends first.

Success is the server's stream with its features, or with a stream error. Evidence `starttls` says
that the server offers TLS; where a middlebox strips the offer, it is missing here and present at
the control. Nothing in clear text proves who answered; the TLS that would follow is not started.
"""

from __future__ import annotations

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.app_handshake import exchange_over_tcp
from probes.steps.app import MAX_REPLY_BYTES, AppRequest, NoReply, Parsed, Reply

_STARTTLS = b"urn:ietf:params:xml:ns:xmpp-tls"
_HEADS = (b"<?xml", b"<stream:stream")
_FEATURES_END = (b"</stream:features", b"<stream:features/")


async def measure(run: EndpointRun) -> None:
    """Connect to every address and send the stream header; once more when no stream came back.
    The domain is the catalogue's `sni` where it differs from the host."""
    domain = run.endpoint.server_name or run.endpoint.address
    await exchange_over_tcp(run, lambda: request(domain))


def request(domain: str) -> AppRequest:
    """Return the request to the server of a domain."""
    hello = (
        f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xml:lang='en' "
        "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    return AppRequest(hello.encode("ascii", "replace"), parse)


def parse(received: bytes) -> Parsed:
    """Parse everything received."""
    text = received[:MAX_REPLY_BYTES].lstrip()
    if not any(text.startswith(head) or head.startswith(text) for head in _HEADS):
        return NoReply.FOREIGN
    if b"<stream:error" in text:
        return Reply("stream_error")
    if any(end in text for end in _FEATURES_END):
        return Reply("features", ("starttls",) if _STARTTLS in text else ())
    return NoReply.FOREIGN if len(received) >= MAX_REPLY_BYTES else NoReply.INCOMPLETE
