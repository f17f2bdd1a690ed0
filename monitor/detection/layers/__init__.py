# SPDX-License-Identifier: Apache-2.0
"""One layer a file: what is read of its observations, and the rules that judge them."""
