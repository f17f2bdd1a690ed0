# SPDX-License-Identifier: Apache-2.0
"""From the broker into the store: decode, admit, commit, and only then acknowledge."""
