"""How the bundled rerankers were made: a tiny base from scratch, then LoRA for an objective."""
