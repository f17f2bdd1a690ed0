# SPDX-License-Identifier: Apache-2.0
"""A store of any size, filled without a fleet."""
