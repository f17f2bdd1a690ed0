# SPDX-License-Identifier: Apache-2.0
"""Whether a probe is heard when much is blocked, what that costs, and how much memory it takes."""
