"""A recorded step as a loop in TorchScript: many steps in one call, with no Python between them and no GIL held.

TorchScript is deprecated. This room is the only one that knows it, nothing here is needed for a right result, and
docs/decisions/0006 says what would replace it: without this room, steps are replayed from Python.
"""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from cvexp.engine.update import BETAS, EPS, Update

if TYPE_CHECKING:
    import contextlib

_RULES = {
    "sgd": ["{p}.add_({g}, alpha=-lr)"],
    "adam": [
        "{m}.lerp_({g}, {weight})",
        "{s}.mul_({beta}).addcmul_({g}, {g}, value={rest})",
        "{p}.addcdiv_({m}, {s}.sqrt().div_(scale).add_({eps}), value=rate)",
    ],
}
_RULES["adamw"] = ["{p}.mul_(1.0 - lr * {decay})", *_RULES["adam"]]
"""One parameter's part of each rule, in the order and with the operators of cvexp.engine.update."""

_CORRECTIONS = [
    "n_steps += 1",
    "scale = (1.0 - {beta} ** n_steps) ** 0.5",
    "rate = -lr / (1.0 - {kept} ** n_steps)",
]
"""For adam's averages, which start at zero; once a step."""

_LOOP = """
def run(images: Tensor, labels: Tensor, state: List[Tensor], means: List[Tensor], squares: List[Tensor],
        lr: float, n_steps: int) -> Tuple[List[Tensor], List[Tensor]]:
    losses: List[Tensor] = []
    logits: List[Tensor] = []
    {unpacked}
    for input_0, input_1 in zip(images.split({batch_size}), labels.split({batch_size})):
        {step}
        losses.append({loss})
        logits.append({scores})
    return losses, logits
"""


class NotScripted(Exception):  # noqa: N818 - it names a property of the program, not a fault
    """A program cannot be written as TorchScript."""


class ScriptedLoop:
    """Runs a recorded step over a list of batches, the updates included.

    Args:
        program: From (images, labels, *state) to (loss, logits, *gradients), as `record` gives it.
        n_state: How many parameters and buffers the model has.
        update: The rule that moves the parameters.
        batch_size: B, images per step.

    Raises:
        NotScripted: TorchScript takes no program like this, or is not there.
    """

    def __init__(self, program: fx.GraphModule, n_state: int, update: Update, *, batch_size: int) -> None:
        source = _source(program.graph, n_state, update, batch_size)
        try:
            with warnings.catch_warnings(), _as_written():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._run = torch.jit.CompilationUnit(source).run
        except (RuntimeError, AttributeError) as error:
            raise NotScripted(str(error)) from error

    def __call__(
        self, images: Tensor, labels: Tensor, state: list[Tensor], update: Update
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run k steps; call it with gradients off.

        Args:
            images: float32 (k x B, C, H, W).
            labels: int64 (k x B,).
            state: The model's parameters, then its buffers; they change in place.
            update: The rule that moves the parameters; its moments change in place.

        Returns:
            The mean loss () and the logits (B, K) of each step, by the weights before it.
        """
        with _as_written():
            found: tuple[list[Tensor], list[Tensor]] = self._run(
                images, labels, state, update.means, update.squares, update.lr, update.n_steps
            )
        update.n_steps += len(found[0])
        return found


def _as_written() -> contextlib.AbstractContextManager[None]:
    """No optimisation passes: they take half a second, and may change the order of sums."""
    from torch.jit import _fuser

    context: contextlib.AbstractContextManager[None] = _fuser.optimized_execution(should_optimize=False)
    return context


def _source(graph: fx.Graph, n_state: int, update: Update, batch_size: int) -> str:
    """The loop's text; what depends on the state's views alone stands before the loop."""
    aten = torch.ops.aten
    names = {node: node.target for node in graph.nodes if node.op == "placeholder"}
    steady = {node for node in names if node.target not in ("input_0", "input_1")}
    before = [f"input_{index + 2} = state[{index}]" for index in range(n_state)]
    for kind in ("means", "squares"):
        before += [f"{kind}_{index} = {kind}[{index}]" for index in range(len(getattr(update, kind)))]
    step: list[str] = []
    for index, node in enumerate(node for node in graph.nodes if node.op == "call_function"):
        if node.target is operator.getitem:
            names[node] = f"{names[node.args[0]]}[{node.args[1]}]"
            continue
        names[node] = f"value_{index}"
        line = f"{names[node]} = {_call_text(node, names)}"
        if node.target is aten.t.default and node.args[0] in steady:
            before.append(line)
        else:
            step.append(line)
    outputs: Any = graph.output_node().args[0]
    loss, scores, *gradients = outputs
    constants = {"weight": 1 - BETAS[0], "beta": BETAS[1], "rest": 1 - BETAS[1], "eps": EPS, "decay": update.decay}
    constants["kept"] = BETAS[0]
    step += [] if update.name == "sgd" else [line.format(**constants) for line in _CORRECTIONS]
    for rule in _RULES[update.name]:
        for index, (parameter, gradient) in enumerate(zip(update.trained, gradients, strict=True)):
            of = {"p": f"input_{parameter + 2}", "m": f"means_{index}", "s": f"squares_{index}", "g": names[gradient]}
            step.append(rule.format(**of, **constants))
    return _LOOP.format(
        unpacked="\n    ".join(before),
        step="\n        ".join(step),
        batch_size=batch_size,
        loss=names[loss],
        scores=names[scores],
    )


def _call_text(node: fx.Node, names: dict[fx.Node, Any]) -> str:
    keywords = [f"{key}={_text(value, names)}" for key, value in node.kwargs.items()]
    arguments = ", ".join([*(_text(value, names) for value in node.args), *keywords])
    return f"torch.ops.{node.target.namespace}.{node.target.overloadpacket.__name__}({arguments})"  # type: ignore[union-attr]


def _text(value: Any, names: dict[fx.Node, Any]) -> str:
    if isinstance(value, fx.Node):
        return str(names[value])
    if isinstance(value, tuple | list):
        return f"[{', '.join(_text(item, names) for item in value)}]"
    if isinstance(value, bool | int | float | torch.dtype | torch.memory_format) or value is None:
        return str(value)
    raise NotScripted(f"an operator takes a {type(value).__name__}")
