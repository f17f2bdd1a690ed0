"""A collector with the one fault that the design forbids: it acknowledges before it commits.

It takes the arguments of `reachwatch`. The kill test must fail with it, else it proves nothing.
"""

from __future__ import annotations

import sys

from monitor.collector import ingest
from monitor.commands import main


class EagerIngest(ingest.Ingest):
    """Acknowledges measurements that are not stored yet: it is killed before it would do so."""

    async def _commit(self, group: ingest._Group) -> None:
        if not group.admitted:
            await super()._commit(group)
            return
        for ack in group.acks:
            self._acknowledger.add(*ack)


if __name__ == "__main__":
    from monitor.collector import subscriber

    subscriber.Ingest = EagerIngest  # type: ignore[misc]
    sys.exit(main.main())
