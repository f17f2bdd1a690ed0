# SPDX-License-Identifier: Apache-2.0
"""From verdicts over time to events: sequential tests, gates, quorum."""
