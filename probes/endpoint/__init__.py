# SPDX-License-Identifier: Apache-2.0
"""The measurement of one endpoint: its addresses, connections, time limits and size limits."""
