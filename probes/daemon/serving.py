# SPDX-License-Identifier: Apache-2.0
"""What the daemon serves to whoever runs it: metrics and the local page, each if asked for."""

from __future__ import annotations

from contextlib import AsyncExitStack

from probes import local_http, metrics
from probes.config import AgentConfig
from probes.daemon.round_loop import RoundLoop
from probes.daemon.round_runner import RoundRunner
from probes.daemon.shown_functions import ShownFunctions
from probes.daemon.status_keeper import StatusKeeper
from probes.log import Log


class Serving:
    """Answers from the status, the functions shown, and counts of rounds."""

    def __init__(
        self,
        config: AgentConfig,
        keeper: StatusKeeper,
        shown: ShownFunctions,
        runner: RoundRunner,
        rounds: RoundLoop,
        log: Log,
    ) -> None:
        self._config, self._keeper, self._shown = config, keeper, shown
        self._runner, self._rounds, self._log = runner, rounds, log

    async def open(self, stack: AsyncExitStack) -> None:
        """Serve until the stack is closed. Raises AddressError."""
        config = self._config
        if config.metrics:
            port = await stack.enter_async_context(
                metrics.serving(config.metrics, self._metrics, self._keeper.problem)
            )
            self._log("serving metrics", port=port)
        if config.local_page:
            await self._shown.load(config.directory)
            port = await stack.enter_async_context(
                local_http.serving(config.local_page, self._page)
            )
            self._log("local page", url=f"http://{config.local_page[0]}:{port}/")

    def _metrics(self) -> dict[str, float]:
        return self._keeper.metrics(
            rounds=self._runner.rounds, retests=self._rounds.retests.measured
        )

    def _page(self, request: local_http.PageRequest) -> local_http.PageReply:
        from probes import local_page  # HTML's table of names costs memory

        return local_page.reply(
            request,
            status=self._keeper.present(),
            problem=self._keeper.problem(),
            catalogue=self._runner.setup.catalogue,
            found=self._shown.summaries,
        )
