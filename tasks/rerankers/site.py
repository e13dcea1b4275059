"""The players of one layer and what each adds to the residual stream. No other file knows how MLPs are built.

A player contributes a set of rows (z, w): activations `z` at every token times a write vector `w`. A neuron has one row
(its activation, its column of the down projection) and, with intervention `base`, a second one (minus its activation before
LoRA, its column before LoRA); an expert of a mixture has one row per neuron. The stream is what ablation subtracts these
rows from: the residual stream after the layer, or before a norm that follows the down projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.architectures import Architecture

Seen = dict[str, Any]


class Site:
    """The players of one layer: `neurons`; in a mixture `experts`, or the neurons of one expert (`expert:3`)."""

    w: Tensor
    """Write vectors [rows, d_model]."""

    owner: Tensor
    """Player of each row [rows]."""

    own_rows: int
    """Number of leading rows that are the layer's current neurons; those of intervention `base` follow."""

    n_players: int
    """Number of players."""

    one_row_each: bool
    """Whether a player is a single neuron rather than an expert."""

    def __init__(
        self, row: Architecture, layer: nn.Module, players: str = "neurons", base: Mapping[str, Tensor] | None = None
    ) -> None:
        """`base` holds the MLP's parameters before LoRA (`parameters_of`), for intervention `base`.

        Raises `ValueError` for players that the layer does not have.
        """
        self.layer, self._row, self._base = layer, row, base
        self._which = _experts(row, layer, players)
        own = self._written()
        self.own_rows = len(own)
        per_player = len(own) // len(self._which) if players == "experts" else 1
        owner = torch.arange(len(own), device=own.device) // per_player
        if base is not None:
            before = base[f"{row.down}.weight"]
            self.w = torch.cat([own, before if self._transposed else before.T])
            self.owner = owner.repeat(2)
        else:
            self.w, self.owner = own, owner
        self.n_players = len(own) // per_player
        self.one_row_each = per_player == 1

    @contextmanager
    def recording(self) -> Iterator[Seen]:
        """Record, during a forward pass in this context, what `activations` and `stream` need."""
        seen: Seen = {}
        row, layer = self._row, self.layer
        hooks = [layer.register_forward_hook(lambda _m, _a, out: seen.update(output=first(out)))]
        if row.experts is not None:
            hooks.append(layer.get_submodule(row.experts).register_forward_pre_hook(_keep(seen, "routed", 3)))
        else:
            hooks.append(layer.get_submodule(row.down).register_forward_pre_hook(_keep(seen, "activations")))
            hooks.append(layer.get_submodule(row.mlp[0]).register_forward_pre_hook(_keep(seen, "mlp_input")))
        norm = row.branch_norm or row.sum_norm
        if norm is not None:
            hooks.append(layer.get_submodule(norm).register_forward_pre_hook(_keep(seen, "stream")))
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def activations(self, seen: Seen) -> Tensor:
        """Activations of all rows [B, T, rows]; those before LoRA, for intervention `base`, with a minus sign."""
        shape = seen["output"].shape[:2]
        if self._row.experts is not None:
            return self._routed(*seen["routed"]).view(*shape, -1)
        own = seen["activations"].view(*shape, -1)
        if self._base is None:
            return own
        return torch.cat([own, -self._before_lora(seen["mlp_input"]).view(*shape, -1)], dim=-1)

    def stream(self, seen: Seen) -> tuple[Tensor, Tensor | None]:
        """The stream [B, T, d_model], and what the layer adds to it after a norm of the MLP's output (None without one)."""
        output = seen["output"]
        if "stream" not in seen:
            return output, None
        stream = seen["stream"].view_as(output)
        return stream, output - self._norm(stream) if self._row.branch_norm else None

    def output(self, stream: Tensor, skip: Tensor | None) -> Tensor:
        """The layer's output [B, T, d_model] from its stream."""
        if self._row.branch_norm is None and self._row.sum_norm is None:
            return stream
        normed = self._norm(stream)
        return normed if skip is None else skip + normed

    def _norm(self, stream: Tensor) -> Tensor:
        normed: Tensor = self.layer.get_submodule(self._row.branch_norm or self._row.sum_norm or "")(stream)
        return normed

    def read_vectors(self) -> Tensor:
        """The read vectors [parts, n_players, d_model] of each neuron: its row of gate and of up, or only of up.

        Raises `RerankerError` for a mixture.
        """
        if self._row.experts is not None:
            raise RerankerError(
                "read vectors: expected plain MLPs, got a mixture of experts, whose router decides what reaches an expert; "
                "fix: another reranker"
            )
        matrices = [self.layer.get_submodule(path) for path in self._row.read]
        rows = torch.cat([m.weight.detach().T if _is_conv1d(m) else m.weight.detach() for m in matrices])  # type: ignore[operator]
        return rows.unflatten(0, (-1, self.n_players))

    @property
    def _transposed(self) -> bool:
        return _is_conv1d(self.layer.get_submodule(self._row.down))

    def _written(self) -> Tensor:
        if self._row.experts is not None:
            fused: Any = self.layer.get_submodule(self._row.experts)
            return torch.cat([fused.down_proj.detach()[e].T for e in self._which]).contiguous()
        weight: Tensor = self.layer.get_submodule(self._row.down).weight.detach()  # type: ignore[operator]
        return (weight if self._transposed else weight.T).contiguous()

    def _before_lora(self, mlp_input: Tensor) -> Tensor:
        """The activations with the parameters before LoRA: run the MLP with these and record the input of `down`."""
        seen: Seen = {}
        hook = self.layer.get_submodule(self._row.down).register_forward_pre_hook(_keep(seen, "activations"))
        value: Any = mlp_input
        try:
            for path in self._row.mlp:
                own = {n.removeprefix(f"{path}."): p for n, p in (self._base or {}).items() if n.startswith(f"{path}.")}
                value = functional_call(self.layer.get_submodule(path), own, (value,))
        finally:
            hook.remove()
        activations: Tensor = seen.get("activations", value)
        return activations

    def _routed(self, hidden: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """Activations [tokens, rows] of a mixture, times the routing weight of the expert: 0 if a token is not routed to it."""
        fused: Any = self.layer.get_submodule(self._row.experts or "")
        parts = []
        for expert in self._which:
            weight = (weights * (index == expert)).sum(-1, keepdim=True)
            gate, up = F.linear(hidden, fused.gate_up_proj[expert]).chunk(2, dim=-1)
            parts.append(fused.act_fn(gate) * up * weight)
        return torch.cat(parts, -1)


def parameters_of(row: Architecture, layer: nn.Module) -> dict[str, Tensor]:
    """A copy of one MLP's parameters by name in the layer; empty for a mixture, which intervention `base` does not cover."""
    if row.experts is not None:
        return {}
    paths = row.mlp if row.down.startswith(f"{row.mlp[0]}.") else (*row.mlp, row.down)
    return {
        f"{path}.{name}": parameter.detach().clone()
        for path in paths
        for name, parameter in layer.get_submodule(path).named_parameters()
    }


def first(output: Any) -> Tensor:
    """A layer's hidden states, whether it returns a tensor or a tuple that begins with it."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _experts(row: Architecture, layer: nn.Module, players: str) -> list[int]:
    """The experts whose neurons are rows; a placeholder for a plain MLP."""
    kind, _, number = players.partition(":")
    count = 0 if row.experts is None else len(layer.get_submodule(row.experts).down_proj)  # type: ignore[arg-type]
    if count == 0 and players == "neurons":
        return [0]
    if count and players == "experts":
        return list(range(count))
    if count and kind == "expert" and number.isdigit() and int(number) < count:
        return [int(number)]
    expected = f"'experts' or 'expert:0' to 'expert:{count - 1}'" if count else "'neurons'"
    raise ValueError(f"players: expected {expected} for this reranker, got {players!r}")


def _keep(seen: Seen, name: str, count: int = 1) -> Any:
    def hook(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        kept = tuple(argument.detach() for argument in arguments[:count])
        seen[name] = kept if count > 1 else kept[0]

    return hook


def _is_conv1d(module: nn.Module) -> bool:
    """Whether the weight is stored with inputs first, as in GPT-2's linear layers."""
    from transformers.pytorch_utils import Conv1D  # takes a second to import; planted games do not need it

    return isinstance(module, Conv1D)
