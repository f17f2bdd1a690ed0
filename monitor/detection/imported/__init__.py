# SPDX-License-Identifier: Apache-2.0
"""Imported measurements (OONI's): judged and folded without controls of our own.

Their volunteers cannot be told apart, so all runs of one network are one pseudo-vantage with few,
irregular measurements. In place of a control, other networks and the rest of the same run are used.
"""

RUN_STEP = "ooni.run"
"""Step of the observation that describes the whole run: see `verdict.Record`."""
ROUND_MS = 300_000
"""Imported runs have no rounds; they are assigned to rounds of five minutes."""
WHOLE = "whole"
"""Name of the one series of an imported target, whatever the layer."""
