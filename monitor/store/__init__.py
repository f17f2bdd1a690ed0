# SPDX-License-Identifier: Apache-2.0
"""Facts and conclusions in SQLite or PostgreSQL; the only package that contains SQL."""
