# SPDX-License-Identifier: Apache-2.0
"""From the spool on disk to the collector and back: nothing is lost, nothing doubled."""
