# SPDX-License-Identifier: Apache-2.0
"""The broker inside `reachwatch up`, and the access rules of every broker."""
