"""Other people's measurements in, ours out: OONI, CSV, Parquet."""
