"""Derivatives with respect to the amounts of ablation, for games whose outputs are differentiable in them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Outputs = Callable[[Tensor], Tensor]  # amounts [players] -> outputs [outputs]


def gradients_of(outputs: Outputs, amounts: Float[Tensor, " players"]) -> Float[Tensor, "outputs players"]:
    """The Jacobian at `amounts`, by one backward pass per output, float32."""
    jacobian: Tensor = torch.autograd.functional.jacobian(outputs, amounts)
    return jacobian.detach().float()


def hessian_products_of(outputs: Outputs, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
    """The Hessian of the mean output, with nothing ablated, times each direction, float32."""
    with torch.enable_grad():
        amounts = torch.zeros_like(directions[0]).requires_grad_()
        (gradient,) = torch.autograd.grad(outputs(amounts).mean(), amounts, create_graph=True)
        products = [torch.autograd.grad(gradient, amounts, row, retain_graph=True)[0] for row in directions]
    return torch.stack(products).detach().float()
