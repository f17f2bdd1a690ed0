# SPDX-License-Identifier: Apache-2.0
"""Public sources of measurements, read hour by hour as they are published."""
