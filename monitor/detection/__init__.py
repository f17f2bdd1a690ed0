# SPDX-License-Identifier: Apache-2.0
"""PURE: facts in, conclusions out. No clock, no socket, no store, no float in state, so that
`reachwatch replay` gives the same events from the same facts, byte for byte.
"""
