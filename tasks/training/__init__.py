"""Train rerankers, such as the bundled ones: a tiny base from scratch, then LoRA for an objective."""
