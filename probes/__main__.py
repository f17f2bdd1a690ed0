# SPDX-License-Identifier: Apache-2.0
"""`python -m probes` is `reachprobe`."""

import sys

from probes.cli.main import main

sys.exit(main())
