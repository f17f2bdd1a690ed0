# SPDX-License-Identifier: Apache-2.0
"""Ten thousand seeds of losses, doubles, delays and kills between spool and store:
`./scripts/bench deliveries`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.deliveries import main

if __name__ == "__main__":
    sys.exit(main())
