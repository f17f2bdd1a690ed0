# SPDX-License-Identifier: Apache-2.0
"""From the facts of one measurement to a verdict per target."""
