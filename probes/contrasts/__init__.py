# SPDX-License-Identifier: Apache-2.0
"""Second measurements after a failure, which tell one cause from another."""
