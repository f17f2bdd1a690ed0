# SPDX-License-Identifier: Apache-2.0
"""What the observations of one measurement say, before any rule is asked."""
