# SPDX-License-Identifier: Apache-2.0
"""The extras of the distribution `reachwatch`.

`monitor` is a distribution of its own, `reachwatch-monitor`. From a source tree the extra names the
folder beside this file; with REACHWATCH_RELEASE=1 it names the same version in an index, because an
index accepts no local paths.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Extras(MetadataHookInterface):
    """Fills in `optional-dependencies`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the extras to the metadata of the project."""
        if os.environ.get("REACHWATCH_RELEASE") == "1":
            monitor = f"reachwatch-monitor=={metadata['version']}"
        else:
            monitor = f"reachwatch-monitor @ {(Path(self.root) / 'monitor').as_uri()}"
        metadata["optional-dependencies"] = self.config["extras"] | {"monitor": [monitor]}
