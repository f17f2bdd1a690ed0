# SPDX-License-Identifier: Apache-2.0
"""`xmpp`: a server accepts a connection and answers the stream header with its features. See
`probes.apps.xmpp` for what that proves and what not."""

from __future__ import annotations

from probes.apps import xmpp
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak


async def measure(visit: Visit) -> None:
    """Resolve, connect, greet; once more when no stream came back. The domain of the account is
    the catalogue's `sni`, where it differs from the host."""
    domain = visit.endpoint.server_name or visit.endpoint.address
    await speak(visit, lambda: xmpp.opening(domain))
