# SPDX-License-Identifier: Apache-2.0
"""The laboratory's cases over several seeds (three without arguments), as root, with the
confusion matrix:
`./scripts/bench lab [--only CASE]... [--first] [--lean | --whole | --retests] [SEED...]`.
See docs/laboratory.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.lab.bench import main

if __name__ == "__main__":
    sys.exit(main())
