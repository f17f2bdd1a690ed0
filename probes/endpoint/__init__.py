# SPDX-License-Identifier: Apache-2.0
"""Measuring one endpoint: its addresses, time limits and the connections made to them."""
