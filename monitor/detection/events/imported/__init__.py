# SPDX-License-Identifier: Apache-2.0
"""Imported measurements (OONI's) in the detector, without controls of our own.

Their volunteers cannot be told apart, so all runs of one network are one pseudo-vantage with few,
irregular measurements. In place of a control, other networks and the rest of the same run are used.
"""

WHOLE = "whole"
"""Name of the one series of an imported target, whatever the layer."""
