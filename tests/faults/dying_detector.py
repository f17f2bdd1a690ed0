"""A detector that dies between saving an event and publishing it. It takes the arguments of
`reachwatch`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from monitor.commands import main
from monitor.detection.model import Event
from monitor.detector.event_publisher import EventPublisher


async def die(self: EventPublisher, events: Sequence[Event]) -> None:
    if events:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    EventPublisher.on_change = die  # type: ignore[method-assign]
    sys.exit(main.main())
