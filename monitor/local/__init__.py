# SPDX-License-Identifier: Apache-2.0
"""Child processes of `reachwatch up`: the local probe."""
