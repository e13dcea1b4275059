"""The size of a reranker, known from its configuration before any weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coterie.tasks.rerankers.adapters import tensor_names
from coterie.tasks.rerankers.architectures import architecture_for, layers_in
from coterie.tasks.rerankers.checkpoint import ADAPTER_CONFIG, adapter_file, check_reachable, one_line_errors
from coterie.tasks.rerankers.configuration import check_length, model_class
from coterie.tasks.rerankers.site import Site
from coterie.tasks.rerankers.spec import DTYPE_BYTES

if TYPE_CHECKING:
    from coterie.tasks.rerankers.spec import RerankerSpec


@dataclass(frozen=True)
class RerankerSize:
    """What a checkpoint's configuration says about the network."""

    model_type: str
    """Architecture as transformers names it."""

    layers: int
    """Number of transformer layers, encoder and decoder together."""

    d_model: int
    """Width of the residual stream."""

    players: int
    """Number of MLP neurons per layer; in a mixture of experts, of one expert."""

    parameters: int
    """Number of parameters without the adapter."""

    bytes: int
    """Memory of the weights in the spec's dtype."""

    encoder_layers: int = 0
    """Number of encoder layers if a decoder follows them, otherwise 0."""

    window: int | None = None
    """Number of earlier tokens that a layer attends to; None if unlimited."""

    pools_all: bool = False
    """Whether all tokens of the last layer reach the score."""

    replay: str = ""
    """How the layers after the site are computed, as a phrase for people."""

    experts: int = 0
    """Number of experts per layer in a mixture, otherwise 0."""


def describe(spec: RerankerSpec) -> RerankerSize:
    """The size of a reranker from its configuration, with every check that needs no weights.

    Raises `RerankerError` if the configuration is not available (neither a folder, nor in the hub's cache, nor on a
    reachable hub), if the readout does not suit it, and if the template allows more tokens than it has positions for.
    """
    import torch

    check_reachable(spec.base, spec.revision)
    if spec.adapter is not None:
        check_reachable(spec.adapter, spec.adapter_revision, ADAPTER_CONFIG)
    with one_line_errors(spec.base):
        kind, config = model_class(spec)
    row = architecture_for(config, spec.readout)
    check_length(spec, config)
    with torch.device("meta"), one_line_errors(spec.base):
        model = kind.from_config(config, trust_remote_code=False)
        layers = layers_in(model, row)
        players = Site(row, layers[0], "neurons" if row.experts is None else "expert:0").n_players
    if spec.adapter is not None:
        adapter_file(spec.adapter, ADAPTER_CONFIG, spec.adapter_revision)
        if Path(spec.adapter).is_dir():
            tensor_names(spec)
    parameters = sum(p.numel() for p in model.parameters())
    uses_window = getattr(config, "use_sliding_window", True)
    return RerankerSize(
        model_type=str(config.model_type),
        layers=len(layers),
        d_model=int(config.hidden_size),
        players=players,
        parameters=parameters,
        bytes=parameters * DTYPE_BYTES[spec.dtype],
        encoder_layers=int(config.num_layers) if row.decoder is not None else 0,
        window=getattr(config, "sliding_window", None) if uses_window else None,
        pools_all=row.pooled in ("mean", "decoder"),
        replay="over distinct tokens, in the last layer over the last token only"
        if row.rotary
        else "by the model's own layers",
        experts=int(getattr(config, "num_local_experts", 0)) if row.experts is not None else 0,
    )
