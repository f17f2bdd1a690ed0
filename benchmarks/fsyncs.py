# SPDX-License-Identifier: Apache-2.0
"""`kill -9` at each single `fsync` of a spool and of a store: `./scripts/bench fsyncs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.fsyncs import main

if __name__ == "__main__":
    sys.exit(main())
