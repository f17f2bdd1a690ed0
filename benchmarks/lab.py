"""The laboratory's cases over several seeds (three without arguments), as root:
`./scripts/bench lab [--more] [--only CASE]... [SEED...]`. See tests/lab.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.lab.bench import main

if __name__ == "__main__":
    sys.exit(main())
