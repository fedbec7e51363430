"""How the steps of an epoch are run: as they are written, or replayed from a recording, one interface for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from cvexp.data.batches import scaled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from cvexp.config.optimizer import OptimizerName
    from cvexp.data.dataset import Split


class Unsupported(Exception):  # noqa: N818 - it names a property of the model, not a fault
    """A runner cannot serve this model, option or device; the text says why."""


class Stateful(Protocol):
    """What a checkpoint asks of an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """What a later training needs to go on: tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


class StepRunner(Protocol):
    """Runs steps of an epoch on one model and one training split.

    Attributes:
        name: As the user names it with `--step`.
    """

    name: str

    @property
    def optimizer(self) -> Stateful:
        """The state that moves with the steps, besides the model's."""
        ...

    def run(self, order: torch.Tensor, losses: torch.Tensor, start_step: int, n_steps: int) -> torch.Tensor:
        """Run some steps of an epoch; nothing here waits for the device.

        Args:
            order: int64 (N,), the epoch's permutation of the images, on the device.
            losses: float32 (steps of the epoch,), on the device; the mean loss of each step run is written to its
                place.
            start_step: The first step, from 0.
            n_steps: How many; at the end of the epoch fewer are run.

        Returns:
            How many images were classified correctly, each by the weights before its step: int64 (), on the device.
        """
        ...


class Optimizer(Stateful, Protocol):
    """What eager steps ask of an optimiser; torch's own are of this kind."""

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: FBT001, FBT002 - torch's signature
        """Forget the gradients."""

    def step(self) -> object:
        """Move the parameters by their gradients."""


class PlainSGD:
    """`torch.optim.SGD` without momentum, bit for bit, without its import of torch._dynamo and its hooks.

    Args:
        parameters: Those that have no gradient stay where they are.
        lr: The rate.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], *, lr: float) -> None:
        self._parameters, self._lr = list(parameters), lr

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - torch's signature
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move the parameters by their gradients."""
        with torch.no_grad():
            found = [(p, p.grad) for p in self._parameters if p.grad is not None]
            if found:
                torch._foreach_add_([p for p, _ in found], [gradient for _, gradient in found], alpha=-self._lr)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: each step depends on its gradients alone."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over nothing."""


class EagerSteps:
    """Steps as they are written: gather, forward, loss, backward, update. Serves every model and every device.

    Args:
        model: On the device.
        train: The training images and labels, on the device.
        optimizer: Over the model's parameters.
        batch_size: Images per step; the last step of an epoch takes what is left.
    """

    name = "eager"

    def __init__(self, model: nn.Module, train: Split, *, optimizer: Optimizer, batch_size: int) -> None:
        self._model = model
        self._train = train
        self.optimizer = optimizer
        self._batch_size = batch_size

    def run(self, order: torch.Tensor, losses: torch.Tensor, start_step: int, n_steps: int) -> torch.Tensor:
        """Run some steps of an epoch; see StepRunner."""
        n_correct = torch.zeros((), dtype=torch.int64, device=order.device)
        start = start_step * self._batch_size
        wanted = order[start : start + n_steps * self._batch_size]
        for step, indices in enumerate(torch.split(wanted, self._batch_size), start_step):
            images = scaled(self._train.images.index_select(0, indices))
            labels = self._train.labels.index_select(0, indices)
            logits = self._model(images)
            loss = functional.cross_entropy(logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimizer.step()
            losses[step] = loss.detach()
            n_correct += (logits.detach().argmax(dim=1) == labels).sum()
        return n_correct


def build_optimizer(model: nn.Module, name: OptimizerName, lr: float, *, capturable: bool = False) -> Optimizer:
    """The optimiser called `name` with torch's own settings besides the rate.

    Args:
        model: Whose parameters it moves.
        name: One of config.OPTIMIZERS.
        lr: Learning rate.
        capturable: Whether its state lives on the device, so that a CUDA graph can hold its steps.
    """
    parameters = model.parameters()
    if name == "sgd":
        return PlainSGD(parameters, lr=lr)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, capturable=capturable)
