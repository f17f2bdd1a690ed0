"""A collector with the one fault that the design forbids: it acknowledges before it commits.

It takes the arguments of `reachwatch`. The kill test must fail with it, else it proves nothing.
"""

from __future__ import annotations

import sys

from monitor.collector import batch_writer
from monitor.commands import main


class EagerWriter(batch_writer.BatchWriter):
    """Acknowledges measurements that are not stored yet: it is killed before it would do so."""

    async def _commit(self, group: batch_writer._Group) -> None:
        if not group.admitted:
            await super()._commit(group)
            return
        for ack in group.acks:
            self._acknowledger.add(*ack)


if __name__ == "__main__":
    from monitor.collector import intake

    intake.BatchWriter = EagerWriter  # type: ignore[misc]
    sys.exit(main.main())
