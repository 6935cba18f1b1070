"""Muon for matrices and AdamW for everything else, in one optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Quintic that drives singular values towards 1: coefficients of Jordan et al. (2024), "Muon: an optimizer for hidden
#: layers in neural networks", which stay between 0.7 and 1.2 after five rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors and singular values near 1, by Newton-Schulz iteration.

    Args:
        matrices: [M, rows, columns].

    Returns:
        The same shape.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for the matrices of linear layers, AdamW for all other weights.

    A matrix moves along its momentum with all singular values made equal, at a length that matches AdamW's, 0.2
    sqrt(max(rows, columns)) times the learning rate (Liu et al., arXiv 2502.16982, eq. 4), so that one learning rate
    serves both.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        """Set up.

        Args:
            groups: weights as `parameter_groups` gives them; `muon` is set in those that Muon takes, of matrices.
            lr: learning rate of groups without one of their own.
            weight_decay: of both, decoupled.
            momentum: of Muon.
            betas: of AdamW.
        """
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "muon": False}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["weight_decay"]:
                torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
            if group["muon"]:
                self._muon(parameters, group)
            elif parameters:
                self._adam(parameters, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        # Matrices of one shape go through the iteration together: the products of small ones are mostly overhead.
        shapes: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        for (rows, columns), equals in shapes.items():
            averages = [self._state(parameter, "momentum") for parameter in equals]
            gradients = [parameter.grad for parameter in equals]
            torch._foreach_lerp_(averages, gradients, 1.0 - group["momentum"])
            # Nesterov: the momentum as it will be after the next, equal gradient.
            ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
            length = 0.2 * max(rows, columns) ** 0.5 * group["lr"]
            torch._foreach_sub_(equals, list(orthogonalised(torch.stack(ahead)).unbind()), alpha=length)

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        # Kingma and Ba, arXiv 1412.6980, algorithm 1.
        gradients = [parameter.grad for parameter in parameters]
        first = [self._state(parameter, "first") for parameter in parameters]
        second = [self._state(parameter, "second") for parameter in parameters]
        group["steps"] = group.get("steps", 0) + 1
        slow, fast = group["betas"]
        torch._foreach_lerp_(first, gradients, 1.0 - slow)
        torch._foreach_mul_(second, fast)
        torch._foreach_addcmul_(second, gradients, gradients, 1.0 - fast)
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, (1.0 - fast ** group["steps"]) ** 0.5)
        torch._foreach_add_(roots, 1e-8)
        torch._foreach_addcdiv_(parameters, first, roots, -group["lr"] / (1.0 - slow ** group["steps"]))

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]
