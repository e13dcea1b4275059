"""Games over the units of any torch module: hidden units, channels, attention heads, experts of a mixture.

    units = Features("0", players=100)                                    # outputs of the first layer of a Sequential
    units = Features("model.layers.1.self_attn.o_proj", 8, side="input")  # attention heads: slices of the projection's input
    units = Experts("model.layers.0.mlp.experts", players=8)              # a Mixtral-style mixture
    game = ModuleGame(model, {"input_ids": ids}, units, readout=lambda out: out.logits[:, 0])

A forward hook ablates the units; many masks go through the module as one batch of copies of the inputs. In a Sequential,
only the part after the units is computed again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn

from coterie.tasks.config.text import nearest
from coterie.tasks.game import Capability, Game, Meter

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch.utils.hooks import RemovableHandle

_ROWS = 4096  # rows that go through the module in one batch


class Units(ABC):
    """The players: how many, in which submodule, and how they are ablated there."""

    path: str
    """Path of the submodule, as in `named_modules`."""

    players: int
    """Number of players."""

    @abstractmethod
    def ablating(self, module: nn.Module, kept: Bool[Tensor, "m players"], mean: Tensor | None) -> RemovableHandle:
        """Hook the submodule so that copy r of the inputs (m copies in sequence) keeps only the players `kept[r]`.

        Ablated units are set to `mean`; None for zero.
        """

    def mean(self, module: nn.Module, forward: Callable[[], object]) -> Tensor:  # noqa: ARG002 - for subclasses
        """Mean of the units over everything that passes through the submodule in one unablated `forward`."""
        raise ValueError(f"{type(self).__name__}: expected intervention 'zero', got 'mean'; fix: intervention='zero'")


@final
@dataclass(frozen=True)
class Features(Units):
    """Equal slices of one dimension of a submodule's input or output, batch first.

    With as many players as features, the players are single units (or channels, dim=1). With fewer they are groups of
    consecutive units, such as the heads in the input of an attention's output projection.
    """

    path: str
    """Path of the submodule, as in `named_modules`."""

    players: int
    """Number of slices; divides the size of dimension `dim`."""

    side: Literal["output", "input"] = "output"
    """Whether the submodule's output or its first input is sliced."""

    dim: int = -1
    """The sliced dimension."""

    def ablating(self, module: nn.Module, kept: Bool[Tensor, "m players"], mean: Tensor | None) -> RemovableHandle:
        def ablated(x: Tensor) -> Tensor:
            width, rest = divmod(x.shape[self.dim], self.players)
            if rest or not width:
                raise ValueError(
                    f"{self.path}: expected a number of features that {self.players} players divide, got "
                    f"{x.shape[self.dim]} in dimension {self.dim} of {tuple(x.shape)}; fix: players={x.shape[self.dim]}"
                )
            keep = kept.repeat_interleave(width, dim=1).repeat_interleave(len(x) // len(kept), dim=0)
            shape = [1] * x.ndim
            shape[0], shape[self.dim] = keep.shape
            replacement = torch.zeros((), dtype=x.dtype) if mean is None else mean.view([1, *shape[1:]])
            return torch.where(keep.view(shape), x, replacement)

        return self._hook(module, ablated)

    def mean(self, module: nn.Module, forward: Callable[[], object]) -> Tensor:
        seen: list[Tensor] = []

        def remember(x: Tensor) -> Tensor:
            seen.append(x.detach())
            return x

        hook = self._hook(module, remember)
        try:
            forward()
        finally:
            hook.remove()
        return torch.cat(seen).movedim(self.dim, -1).flatten(0, -2).mean(dim=0)

    def _hook(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> RemovableHandle:
        if self.side == "input":
            return module.register_forward_pre_hook(lambda _module, given: (change(given[0]), *given[1:]))
        return module.register_forward_hook(lambda _module, _given, out: change(out))


@final
@dataclass(frozen=True)
class Experts(Units):
    """Experts of a mixture whose weights are fused in 3-D parameters (transformers' Mixtral and its relatives).

    An expert is not a module that can be hooked, so the routing weight of an ablated expert is set to 0: its contribution
    `weight * expert(x)` vanishes, and the router neither sends the token elsewhere nor raises the other weights.
    """

    path: str
    """Path of the module that holds the experts' parameters."""

    players: int
    """Number of experts."""

    def ablating(self, module: nn.Module, kept: Bool[Tensor, "m players"], _mean: Tensor | None) -> RemovableHandle:
        if module.num_experts != self.players:
            raise ValueError(
                f"{self.path}: expected {self.players} experts, got {module.num_experts}; fix: players={module.num_experts}"
            )

        def silence(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden, index, weights = given
            keep = kept.repeat_interleave(len(index) // len(kept), dim=0)
            return hidden, index, weights * keep.gather(1, index)

        return module.register_forward_pre_hook(silence)


@final
class ModuleGame(Game):
    """Ablations of the units of one submodule on fixed inputs.

    `inputs` are the module's keyword arguments, or its only argument; every tensor has the batch first. `readout` turns the
    module's result into one tensor with the batch first, whose elements are the game's outputs: one logit per pair, all
    logits, pixels. `output_shape` is the shape of one batch of them. A readout that is linear in the units, such as a logit
    right after them, makes an additive game; use log-probabilities or a loss instead.

    Raises `ValueError` for a module in training mode and for a path that does not exist.
    """

    capabilities = frozenset({Capability.ABLATIONS})

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor | Mapping[str, Tensor],
        units: Units,
        readout: Callable[[Any], Tensor] = lambda out: out,
        intervention: Literal["zero", "mean"] = "zero",
        rows_at_once: int = _ROWS,
    ) -> None:
        if model.training:
            raise ValueError("model: expected evaluation mode, got training mode; fix: model.eval()")
        self._model, self._inputs, self._units, self._readout = model, inputs, units, readout
        self._site, self._rows = _submodule(model, units.path), rows_at_once
        self._batch = len(inputs) if isinstance(inputs, Tensor) else len(next(iter(inputs.values())))
        self.output_shape = tuple(self._outputs(1).shape)
        self._mean = units.mean(self._site, lambda: self._outputs(1)) if intervention == "mean" else None
        self._tail = _Tail.of(model, self._inputs, units, self._mean)
        self.n_players, self.n_outputs = units.players, prod(self.output_shape)
        self.meter = Meter()

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        parts = [torch.empty(0, self.n_outputs)]
        for chunk in masks.split(max(1, self._rows // self._batch)):
            if self._tail is not None:
                outputs = self._read(self._tail.answer(~chunk), len(chunk))
                parts.append(outputs.reshape(len(chunk), -1).float())
                continue
            hook = self._units.ablating(self._site, ~chunk, self._mean)
            try:
                parts.append(self._outputs(len(chunk)).reshape(len(chunk), -1).float())
            finally:
                hook.remove()
        return torch.cat(parts)

    @torch.no_grad()
    def _outputs(self, copies: int) -> Tensor:
        """The readout [copies * batch, ...] of `copies` copies of the inputs."""
        if isinstance(self._inputs, Tensor):
            answer = self._model(_repeated(self._inputs, copies))
        else:
            answer = self._model(**{name: _repeated(value, copies) for name, value in self._inputs.items()})
        return self._read(answer, copies)

    def _read(self, answer: Any, copies: int) -> Tensor:
        """The readout of the model's result for `copies` copies. Raises `ValueError` if the batch is not first."""
        outputs = self._readout(answer)
        if outputs.shape[:1] != (copies * self._batch,):
            raise ValueError(
                f"readout: expected the batch of {copies * self._batch} first, got shape {tuple(outputs.shape)}; "
                f"fix: return one row per input, without mixing or averaging them"
            )
        return outputs


@final
@dataclass(frozen=True)
class _Tail:
    """The rest of a Sequential after single units that are followed by a Linear map W.

    `W x(A) = W x(N) - sum_{j in A} (x_j - mean_j) W_j`, so one product of the masks with an array
    [players, batch x outputs of W] serves all inputs, instead of a product of W with every masked input.
    """

    contributions: Float[Tensor, "players features"]
    """What each unit adds to the outputs of W, the inputs of the batch side by side."""

    nothing: Float[Tensor, " features"]
    """The outputs of W with every unit ablated."""

    batch: int
    """Number of inputs."""

    rest: nn.Sequential
    """What follows W."""

    @classmethod
    @torch.no_grad()
    def of(cls, model: nn.Module, inputs: Any, units: Units, mean: Tensor | None) -> _Tail | None:
        """The rest of a network; None if it has another shape, or a hook that only a pass through all of it would call."""
        children = list(model) if isinstance(model, nn.Sequential) else []
        if not isinstance(inputs, Tensor) or not isinstance(units, Features) or not units.path.isdecimal():
            return None
        following = children[int(units.path) + 1 :]
        if units.side != "output" or not following or type(following[0]) is not nn.Linear:
            return None
        if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
            return None
        units_now = nn.Sequential(*children[: int(units.path) + 1])(inputs)
        if units_now.ndim != 2 or units_now.shape[1] != units.players or units.dim not in (-1, 1):
            return None
        weight, bias = following[0].weight, following[0].bias
        replaced = torch.zeros_like(units_now[0]) if mean is None else mean
        contributions = torch.einsum("bj,oj->jbo", units_now - replaced, weight).flatten(1).contiguous()
        nothing = weight @ replaced if bias is None else weight @ replaced + bias
        return cls(contributions, nothing.repeat(len(inputs)), len(inputs), nn.Sequential(*following[1:]))

    @torch.no_grad()
    def answer(self, kept: Bool[Tensor, "m players"]) -> Tensor:
        """The model's result for copies of the inputs in sequence, each with its own players kept."""
        linear = torch.addmm(self.nothing, kept.to(self.contributions), self.contributions)
        return self.rest(linear.view(len(kept) * self.batch, -1))


def _repeated(value: Tensor, copies: int) -> Tensor:
    return value.repeat(copies, *[1] * (value.ndim - 1))


def _submodule(model: nn.Module, path: str) -> nn.Module:
    names = dict(model.named_modules())
    if path not in names:
        near = nearest(path, names, most=1, cutoff=0.3) or sorted(names)[1:2]
        raise ValueError(
            f"path: expected a submodule of {type(model).__name__}, got {path!r}; fix: for example {near[0] if near else ''!r}"
        )
    return names[path]
