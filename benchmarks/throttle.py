# SPDX-License-Identifier: Apache-2.0
"""Precision and recall of throttling over rates, loss and delay, in the laboratory, as root:
`./scripts/bench throttle [--seed N] [--kind KIND]...`. See docs/laboratory.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.lab.sweep import main

if __name__ == "__main__":
    sys.exit(main())
