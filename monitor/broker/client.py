# SPDX-License-Identifier: Apache-2.0
"""The monitor's connections to its broker, from the URL of `--broker`."""

from __future__ import annotations

import secrets
import ssl
from contextlib import AbstractAsyncContextManager

from probes.runtime.broker_url import parse_broker
from probes.runtime.mqtt import BrokerConnection, connect


def connected(
    url: str,
    user: str,
    secret: str,
    *,
    purpose: str = "monitor",
    tls: ssl.SSLContext | None = None,
) -> AbstractAsyncContextManager[BrokerConnection]:
    """Connect as a client of its own, `purpose` and a random number. `tls` replaces the system's
    roots. Raises ValueError for a bad URL, and BrokerError on entering."""
    client_id = f"{purpose}-{secrets.token_hex(6)}"
    return connect(parse_broker(url), client_id=client_id, user=user, secret=secret, tls=tls)
