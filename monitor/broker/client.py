# SPDX-License-Identifier: Apache-2.0
"""The monitor's connections to its broker, from the URL of `--broker`."""

from __future__ import annotations

import secrets
import ssl
from contextlib import AbstractAsyncContextManager

from probes.runtime.mqtt import Broker, BrokerConnection, connect, parse_broker


def broker_of(url: str) -> Broker:
    """The broker that a URL names. Raises ValueError with the reason."""
    try:
        return parse_broker(url)
    except ValueError as error:
        raise ValueError(f"broker URL: {error}") from None


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
    return connect(broker_of(url), client_id=client_id, user=user, secret=secret, tls=tls)
