"""A collector with the one fault that the design forbids: it acknowledges before it commits.

It takes the arguments of `reachwatch`. The kill test must fail with it, else it proves nothing.
"""

from __future__ import annotations

import asyncio
import sys

from monitor.collector import ingest
from monitor.commands import main


class EagerIngest(ingest.Ingest):
    """Acknowledges a group, gives the broker time to deliver that, and only then stores it."""

    async def _commit(self, group: ingest._Group) -> None:
        for ack in group.acks:
            self._acknowledger.add(*ack)
        group.acks.clear()
        await asyncio.sleep(0.5)
        await super()._commit(group)


if __name__ == "__main__":
    from monitor.collector import subscriber

    subscriber.Ingest = EagerIngest  # type: ignore[misc]
    sys.exit(main.main())
