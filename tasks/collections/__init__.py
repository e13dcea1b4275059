"""Collections of queries, documents and judgements, read from many formats into one."""
