"""`python -m probes` is `reachprobe`."""

import sys

from probes.cli import main

sys.exit(main())
