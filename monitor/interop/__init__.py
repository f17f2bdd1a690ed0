# SPDX-License-Identifier: Apache-2.0
"""Other people's measurements in, ours out: OONI, CSV, Parquet."""
