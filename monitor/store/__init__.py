# SPDX-License-Identifier: Apache-2.0
"""Where facts and conclusions are kept: SQLite by default, PostgreSQL by the same URL scheme."""
