"""A collector with the one fault that the design forbids: it acknowledges before it commits.

It takes the arguments of `reachwatch`. The kill test must fail with it, else it proves nothing.
"""

from __future__ import annotations

import asyncio
import sys

from monitor.collector import ingest
from monitor.commands import main

DAY_SECONDS = 86_400


class EagerIngest(ingest.Ingest):
    """Acknowledges a group, and would store its measurements a day later."""

    async def _commit(self, group: ingest._Group) -> None:
        for ack in group.acks:
            self._acknowledger.add(*ack)
        group.acks.clear()
        if group.admitted:
            await asyncio.sleep(DAY_SECONDS)
        await super()._commit(group)


if __name__ == "__main__":
    from monitor.collector import subscriber

    subscriber.Ingest = EagerIngest  # type: ignore[misc]
    sys.exit(main.main())
