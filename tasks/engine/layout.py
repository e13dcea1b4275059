"""Sizes that the engine and the estimate of its memory share."""

from __future__ import annotations

LANES = 16
"""Numbers in a vector of 512 bits. The low-rank form pads a pair's tokens to a multiple of this."""

DEFAULT_TOKENS = 8192
"""Tokens replayed together. Two to four arrays of tokens x d_model are alive at a time."""
