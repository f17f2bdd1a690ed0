# SPDX-License-Identifier: Apache-2.0
"""The detector as a process: closes rounds, folds them, publishes events and retests."""
