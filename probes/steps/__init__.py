# SPDX-License-Identifier: Apache-2.0
"""One file per kind of observation. A step takes a Network and says what happened, as an
Observation; it never raises for what the network did, never judges, and knows no other step.
"""
