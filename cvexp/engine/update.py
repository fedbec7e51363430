"""The update rules of `torch.optim`, bit for bit, without what importing and stepping it costs a small model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cvexp.engine.steps import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

BETAS, EPS = (0.9, 0.999), 1e-8
"""torch's own settings of adam and adamw."""


class Update:
    """The update rules of `torch.optim` at its own settings, bit for bit, over lists of tensors.

    Constructing a `torch.optim.Optimizer` imports torch._dynamo (1.3 s), and a step of it costs twice as much.

    Args:
        name: "sgd", "adam" or "adamw".
        parameters: All of the model's, in its order, by which `state_dict` numbers them.
        trained: Which of them get a gradient.
        lr: The rate.

    Attributes:
        n_steps: How many were taken.
        means, squares: The moving averages of the gradients and of their squares, one for each trained parameter;
            none for sgd.

    Raises:
        Unsupported: There is no such rule here.
    """

    def __init__(self, name: str, parameters: Sequence[Tensor], trained: Sequence[int], *, lr: float) -> None:
        if name not in ("sgd", "adam", "adamw"):
            raise Unsupported(f"no update rule for {name!r}")
        self.name, self.lr, self.n_steps = name, lr, 0
        self.trained = list(trained)
        self.decay = 0.01 if name == "adamw" else 0
        self._n_parameters = len(parameters)
        self._parameters = [parameters[index] for index in trained]
        moments = 0 if name == "sgd" else len(self.trained)
        self.means = [torch.zeros_like(parameter) for parameter in self._parameters[:moments]]
        self.squares = [torch.zeros_like(parameter) for parameter in self._parameters[:moments]]

    def copied(self, parameters: Sequence[Tensor]) -> Update:
        """The same rule at the same point, over other tensors and with moments of its own."""
        update = Update(self.name, parameters, self.trained, lr=self.lr)
        update.n_steps = self.n_steps
        update.means = [mean.clone() for mean in self.means]
        update.squares = [square.clone() for square in self.squares]
        return update

    def step(self, gradients: list[Tensor]) -> None:
        """Move the parameters that are trained by `gradients`, one for each; call it with gradients off."""
        if self.name == "sgd":
            torch._foreach_add_(self._parameters, gradients, alpha=-self.lr)
            return
        self.n_steps += 1
        if self.decay:
            torch._foreach_mul_(self._parameters, 1 - self.lr * self.decay)
        torch._foreach_lerp_(self.means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(self.squares, BETAS[1])
        torch._foreach_addcmul_(self.squares, gradients, gradients, 1 - BETAS[1])
        scales = torch._foreach_sqrt(self.squares)
        torch._foreach_div_(scales, (1 - BETAS[1] ** self.n_steps) ** 0.5)
        torch._foreach_add_(scales, EPS)
        torch._foreach_addcdiv_(self._parameters, self.means, scales, -self.lr / (1 - BETAS[0] ** self.n_steps))

    def state_dict(self) -> dict[str, Any]:
        """The state as `torch.optim`'s class of that name gives it and loads it; the tensors are the live ones."""
        group: dict[str, Any] = {"lr": self.lr, "maximize": False, "foreach": None, "differentiable": False}
        state: dict[int, dict[str, Tensor]] = {}
        if self.name == "sgd":
            group |= {"momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "fused": None}
        else:
            group |= {"betas": BETAS, "eps": EPS, "weight_decay": self.decay, "amsgrad": False}
            group |= {"capturable": False, "fused": None, "decoupled_weight_decay": self.name == "adamw"}
            if self.n_steps:
                n_steps = torch.tensor(float(self.n_steps))
                for index, mean, square in zip(self.trained, self.means, self.squares, strict=True):
                    state[index] = {"step": n_steps.clone(), "exp_avg": mean, "exp_avg_sq": square}
        return {"state": state, "param_groups": [group | {"params": list(range(self._n_parameters))}]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the moments and the count of steps that `state_dict`, here or in `torch.optim`, gave."""
        if self.name == "sgd" or not state_dict["state"]:
            return
        for index, mean, square in zip(self.trained, self.means, self.squares, strict=True):
            moments = state_dict["state"][index]
            mean.copy_(moments["exp_avg"])
            square.copy_(moments["exp_avg_sq"])
            self.n_steps = int(moments["step"])
