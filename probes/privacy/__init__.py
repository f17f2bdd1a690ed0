# SPDX-License-Identifier: Apache-2.0
"""Where this vantage is, and what must not leave the machine."""
