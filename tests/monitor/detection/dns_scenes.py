"""One name as its resolver answers it, beside a control: what the rules of DNS are given."""

from __future__ import annotations

from typing import Any

from monitor.detection.observed.endpoint_context import EndpointContext, endpoint_context
from monitor.detection.observed.liveness import vantage_status
from monitor.detection.observed.view import view
from probes.wire.observation import AnyObservation
from tests.monitor.detection.scenes import (
    TLS,
    alive,
    control,
    measured,
)


def case(*seen: AnyObservation, controls: Any = None, v6: bool = True) -> EndpointContext:
    views = view(measured(*seen))
    beyond = [control()] if controls is None else controls
    return endpoint_context(
        views[TLS.id],
        tuple(views.values()),
        [view(m)[TLS.id] for m, _ in beyond],
        vantage_status(alive(v6=v6)),
    )
