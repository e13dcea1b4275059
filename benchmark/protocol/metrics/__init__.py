"""The metrics of the protocol, one file per family, found by scanning."""
