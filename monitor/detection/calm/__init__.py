# SPDX-License-Identifier: Apache-2.0
"""Networks in which nobody is alarmed, as columns: most of a large fleet, most of the time."""
