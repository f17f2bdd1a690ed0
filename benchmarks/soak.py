# SPDX-License-Identifier: Apache-2.0
"""Hours with all faults mixed, and what grows meanwhile: `./scripts/bench soak`, two hours.
See docs/evaluation/fleet.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.soak import main

if __name__ == "__main__":
    sys.exit(main())
