# SPDX-License-Identifier: Apache-2.0
"""Alert rules, written in code and generated for Prometheus."""
