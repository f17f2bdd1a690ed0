# SPDX-License-Identifier: Apache-2.0
"""OONI's formats: its measurements (JSON) and its flattened observations (`obs_web` CSV)."""
