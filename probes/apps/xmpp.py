# SPDX-License-Identifier: Apache-2.0
"""XMPP (RFC 6120): the stream header with which a client greets its server on port 5222.

Success is the server's stream with its features, or with a stream error: an XMPP server answered.
Evidence `starttls` says that it offers TLS; a middlebox that strips the offer shows as its absence
where the control sees it. In clear text nothing proves who answered: that is what the TLS
afterwards is for, which is not begun here.
"""

from __future__ import annotations

from probes.apps.opening import MAX_ANSWER, Opening, Reading, Spoken, Unspoken

_STARTTLS = b"urn:ietf:params:xml:ns:xmpp-tls"
_HEADS = (b"<?xml", b"<stream:stream")
_FEATURES_END = (b"</stream:features", b"<stream:features/")


def opening(domain: str) -> Opening:
    """Return the first exchange with the server of a domain."""
    hello = (
        f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xml:lang='en' "
        "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    return Opening(hello.encode("ascii", "replace"), reading)


def reading(received: bytes) -> Reading:
    """Read everything received."""
    text = received[:MAX_ANSWER].lstrip()
    if not any(text.startswith(head) or head.startswith(text) for head in _HEADS):
        return Unspoken.FOREIGN
    if b"<stream:error" in text:
        return Spoken("stream_error")
    if any(end in text for end in _FEATURES_END):
        return Spoken("features", ("starttls",) if _STARTTLS in text else ())
    return Unspoken.FOREIGN if len(received) >= MAX_ANSWER else Unspoken.MORE
