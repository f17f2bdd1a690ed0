# SPDX-License-Identifier: Apache-2.0
"""Which function measures an endpoint of a protocol: `measure` of the file that the protocol's
entry in `probes.wire.protocol` names. An entry whose file is missing fails here, at import.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable

from probes.endpoint.endpoint_run import EndpointRun
from probes.wire.protocol import PROTOCOLS, Protocol

Measure = Callable[[EndpointRun], Awaitable[None]]


def _measure(protocol: Protocol) -> Measure:
    measure: Measure = importlib.import_module(f"probes.protocols.{protocol.module}").measure
    return measure


MEASURE = {name: _measure(protocol) for name, protocol in PROTOCOLS.items()}
"""By protocol."""
