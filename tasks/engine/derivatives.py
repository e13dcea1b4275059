"""Derivatives of the outputs with respect to the amounts of ablation, by backward passes through the replayed layers.

With h = h_0 - sum_j amount_j z_j w_j, the chain rule gives

    d s / d amount_j = - sum_t z_jt (w_j . d s / d h_t)

and, applied twice, products of the Hessian with a direction, without an array of players x players.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from coterie.tasks.engine.batch import Batch
from coterie.tasks.engine.prefix import Prefix
from coterie.tasks.engine.tokens import Tokens
from coterie.tasks.rerankers.site import Site

_ROWS = 1024  # rows of (z, w) whose derivatives at every token are in memory together


class Derivatives:
    """Derivatives of a prefix's outputs; a backward pass holds up to `tokens_at_once` / 8 tokens."""

    def __init__(self, prefix: Prefix, tokens_at_once: int) -> None:
        self._prefix, self._site, self._tokens = prefix, prefix.site, tokens_at_once
        self._pairs = len(prefix.scores)

    def gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "pairs players"]:
        """Derivatives of each output at `amounts` (None: nothing ablated), float32 on the CPU."""
        site = self._site
        result = torch.empty(self._pairs, site.n_players)
        for batch in self._pieces():
            _, gradient = self._differentiated(batch, amounts)
            slopes = [
                (w @ gradient.flatten(0, 1).T).mul_(z).unflatten(1, gradient.shape[:2]).sum(-1)
                for w, z in zip(site.w.split(_ROWS), batch.z.split(_ROWS), strict=True)
            ]
            result[batch.rows] = -_by_player(site, torch.cat(slopes)).T.float().cpu()
        return result

    def hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        """The Hessian of the mean output, with nothing ablated, times each direction, float32 on the CPU."""
        site = self._site
        result = torch.zeros(len(directions), site.n_players, dtype=torch.float64)
        for batch in self._pieces():
            hidden, gradient = self._differentiated(batch, None, again=True)
            for row, direction in zip(result, directions.to(site.w), strict=True):
                step = -(batch.z.T * direction[site.owner]) @ site.w
                (change,) = torch.autograd.grad(
                    gradient, hidden, step.view_as(gradient), retain_graph=True, materialize_grads=True
                )
                slopes = ((batch.z @ change.flatten(0, 1)) * site.w).sum(-1, dtype=torch.float64)
                row -= _by_player(site, slopes).cpu()
        return (result / self._pairs).float()

    def _pieces(self) -> Iterator[Batch]:
        """The batches in pieces of fewer pairs, because a backward pass keeps many arrays of tokens x d_model."""
        for batch in self._prefix.batches:
            yield from batch.split(max(1, self._tokens // (8 * batch.residual.shape[1])))

    def _differentiated(self, batch: Batch, amounts: Tensor | None, again: bool = False) -> tuple[Tensor, Tensor]:
        """The stream after the site at `amounts`, and the derivative of the pairs' outputs with respect to it."""
        site, hidden = self._site, batch.residual
        if amounts is not None:
            hidden = hidden - ((batch.z.T * amounts.to(site.w)[site.owner]) @ site.w).view_as(hidden)
        hidden = hidden.detach().requires_grad_()
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            tokens = Tokens.every(batch.last, hidden.shape[1])
            outputs = self._prefix.after.outputs(hidden.flatten(0, 1)[None], batch, tokens)
            (gradient,) = torch.autograd.grad(outputs.sum(), hidden, create_graph=again)
        return hidden, gradient


def _by_player(site: Site, values: Float[Tensor, "rows ..."]) -> Float[Tensor, "players ..."]:
    """Sum values of the rows of (z, w) by player."""
    return values.new_zeros(site.n_players, *values.shape[1:]).index_add_(0, site.owner, values)
