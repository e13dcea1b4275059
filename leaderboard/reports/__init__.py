"""Reports of other commands about the coalitions of records, and what belongs to which record."""
