# SPDX-License-Identifier: Apache-2.0
"""Measurements that others made (OONI's): judged and folded without controls of our own.

Volunteers behind them cannot be told apart, so all runs of one network are one pseudo-vantage,
irregular and thin; there is no control, so other networks and the rest of the same run stand in.
"""

RUN_STEP = "ooni.run"
"""Step of the observation that says what is known of the whole run: see `run.Record`."""
ROUND_MS = 300_000
"""Imported runs have no rounds; they are put into five minutes, the width of a usual round."""
WHOLE = "whole"
"""Name of the one series of an imported target, whatever the layer."""
