# SPDX-License-Identifier: Apache-2.0
"""What pages draw: strips of time, the map, evidence by round, tables of steps. Pure."""
