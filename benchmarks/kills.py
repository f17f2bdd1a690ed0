# SPDX-License-Identifier: Apache-2.0
"""Random `kill -9` of probe, broker, collector and database, twenty seeds: `./scripts/bench kills`.
See docs/evaluation/fleet.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.kills import main

if __name__ == "__main__":
    sys.exit(main())
