"""From the broker into the store: decode, admit, commit, and only then acknowledge."""
