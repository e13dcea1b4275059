"""What a coalition means: the pairs and tokens on which it fires, the signal it follows, the effect of ablating it."""
