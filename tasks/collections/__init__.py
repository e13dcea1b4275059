"""Collections: queries, documents and judgements, by domain."""
