# SPDX-License-Identifier: Apache-2.0
"""Why a way to the monitor failed, as a word: OONI's where it has one, for the volunteer and for
the monitor, to which "I am blocked here" is a finding."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from probes.net.classify import failure
from probes.runtime.broker_url import BrokerError, BrokerRefusedError
from probes.runtime.proxy import ProxyError
from probes.runtime.stall import StalledError

FROZEN = "no_progress"
"""The connection opened and stopped."""
NOT_STORED = "not_acknowledged"
"""The monitor, or its broker, answers and stores nothing."""
FLOODED = "sent_too_much"
NAME = "dns_lookup_failed"
NOT_THE_MONITOR = "not_the_monitor"
"""Something else answers."""
PROXY = "proxy_failed"
REFUSED = "credentials_refused"
LOST = "connection_lost"


class NotTheMonitorError(BrokerError):
    """Something else answers there."""


class NotStoredError(BrokerError):
    """The monitor answers, and cannot store measurements now."""


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (BrokerRefusedError, REFUSED),
    (NotTheMonitorError, NOT_THE_MONITOR),
    (NotStoredError, NOT_STORED),
    (StalledError, FROZEN),
    (socket.gaierror, NAME),
    (ProxyError, PROXY),
)


def way_failure(error: BaseException) -> str:
    """Return the word for an error of a connection, which may stand behind another."""
    for cause in _causes(error):
        for kind, word in _WORDS:
            if isinstance(cause, kind):
                return word
        if isinstance(cause, (OSError, EOFError)):
            return re.sub(r"[^A-Za-z0-9._:+-]+", "-", failure(cause))[:64]
    return LOST


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
