"""A tiny game with every capability, on which tests and `coterie check` run methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from coterie.tasks.derivatives import gradients_of, hessian_products_of
from coterie.tasks.game import Capability, Game, Meter, Pooling
from coterie.tasks.lens import Lens

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class SyntheticGame(Game):
    """A random network with one hidden layer, whose units are the players; the readout is not linear in them.

    `s(x; A) = w . tanh(sum over i not in A of a_i(x) u_i)` with `a = relu(x V)`. The rows of the activations are the pairs,
    whatever the pooling. `activations`, `write_vectors` and `capabilities` can be replaced to build difficult games; with
    `copies=False` a method receives the game's own tensors.
    """

    def __init__(
        self,
        n_players: int = 24,
        n_outputs: int = 30,
        d_model: int = 6,
        seed: int = 0,
        activations: Float[Tensor, "outputs players"] | None = None,
        write_vectors: Float[Tensor, "players d_model"] | None = None,
        capabilities: frozenset[Capability] = frozenset(Capability),
        copies: bool = True,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(n_outputs, d_model, generator=generator)
        hidden = torch.randn(d_model, n_players, generator=generator)
        out = torch.randn(n_players, d_model, generator=generator) / d_model
        self._hidden = torch.relu(inputs @ hidden) if activations is None else activations
        self._out = out if write_vectors is None else write_vectors
        self._head = torch.randn(d_model, generator=generator)
        self._copies = copies
        self.n_players = n_players
        self.n_outputs = n_outputs
        self.capabilities = capabilities
        self.meter = Meter()

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        kept = self._hidden * ~masks[:, None, :]
        return torch.tanh(kept @ self._out) @ self._head

    def _relaxed(self, amounts: Float[Tensor, " players"]) -> Float[Tensor, " outputs"]:
        return torch.tanh((self._hidden * (1 - amounts)) @ self._out) @ self._head

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        return gradients_of(self._relaxed, torch.zeros(self.n_players) if amounts is None else amounts)

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        return hessian_products_of(self._relaxed, directions)

    def _lens(self) -> Lens:
        # not through _activations and _write_vectors, which WatchedGame records
        hidden, out = (part.clone() if self._copies else part for part in (self._hidden, self._out))
        return Lens(hidden @ out, hidden[None], out[None], self._head.clone(), 1e-5)

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:  # noqa: ARG002 - no tokens to pool
        return self._hidden.clone() if self._copies else self._hidden

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        return self._out.clone() if self._copies else self._out


class WatchedGame(SyntheticGame):
    """A synthetic game that records in `used` which information a method uses."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[Capability] = set()

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        self.used.add(Capability.ABLATIONS)
        return super()._ablate(masks)

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        self.used.add(Capability.ACTIVATIONS)
        return super()._activations(pooling)

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        self.used.add(Capability.GRADIENTS)
        return super()._gradients(amounts)

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        self.used.add(Capability.GRADIENTS)
        return super()._hessian_products(directions)

    def _lens(self) -> Lens:
        self.used.add(Capability.LENS)
        return super()._lens()

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        self.used.add(Capability.WEIGHTS)
        return super()._write_vectors()


class RenumberedGame(SyntheticGame):
    """A game with renumbered players: player p is player `old[p]` of the given game."""

    def __init__(self, game: SyntheticGame, old: Tensor) -> None:
        super().__init__(activations=game._hidden[:, old], write_vectors=game._out[old])
