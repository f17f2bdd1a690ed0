# SPDX-License-Identifier: Apache-2.0
"""Three NATS servers as the broker, each killed under load: `./scripts/bench nats [--rounds N]`.
See docs/scale.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.nats import main

if __name__ == "__main__":
    sys.exit(main())
