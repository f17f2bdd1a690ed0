# SPDX-License-Identifier: Apache-2.0
"""What a probe costs, beside a peer that does the same work."""
