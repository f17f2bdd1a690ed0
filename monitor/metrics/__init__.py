# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics: names in one file, values computed at scrape."""
