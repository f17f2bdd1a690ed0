# SPDX-License-Identifier: Apache-2.0
"""The daemon: rounds -> scrub -> spool -> broker."""
