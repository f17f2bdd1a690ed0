# SPDX-License-Identifier: Apache-2.0
"""Commands of `reachprobe`, and how their options are given."""
