# SPDX-License-Identifier: Apache-2.0
"""One file a kind of observation. A step takes a Network and returns what happened as an
Observation. It never raises for what the network did, never judges, and knows no other step.
"""
