# SPDX-License-Identifier: Apache-2.0
"""What a volunteer runs: measures, spools, publishes. Knows nothing of verdicts."""

__version__ = "0.1.0"
