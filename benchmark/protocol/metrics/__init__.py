"""The metrics of the protocol: one file a family, found by scanning."""
