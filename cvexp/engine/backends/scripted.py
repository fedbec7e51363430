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

from cvexp.engine.backends.recording import COEFFICIENT

if TYPE_CHECKING:
    import contextlib

_LOOP = """
def run(images: Tensor, labels: Tensor, tensors: List[Tensor], coefficients: List[List[float]]
        ) -> Tuple[List[Tensor], List[Tensor]]:
    losses: List[Tensor] = []
    logits: List[Tensor] = []
    {unpacked}
    for input_0, input_1, numbers in zip(images.split({batch_size}), labels.split({batch_size}), coefficients):
        {step}
        losses.append({loss})
        logits.append({scores})
    return losses, logits
"""


FOREACH = "_foreach_"
"""How operators over lists are called; what follows is the operator over one tensor."""

KEYWORDS = ("alpha", "value")
"""Arguments that operators over one tensor take by name only."""


class NotScripted(Exception):  # noqa: N818 - it names a property of the program, not a fault
    """A program cannot be written as TorchScript."""


class ScriptedLoop:
    """Runs a recorded step over a list of batches.

    Args:
        program: As `record` gives it.
        batch_size: B, images per step.

    Raises:
        NotScripted: TorchScript takes no program like this, or is not there.
    """

    def __init__(self, program: fx.GraphModule, *, batch_size: int) -> None:
        source = _source(program.graph, batch_size)
        try:
            with warnings.catch_warnings(), _as_written():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._run = torch.jit.CompilationUnit(source).run
        except (RuntimeError, AttributeError) as error:
            raise NotScripted(str(error)) from error

    def __call__(
        self, images: Tensor, labels: Tensor, tensors: list[Tensor], coefficients: list[list[float]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run k steps; call it with gradients off.

        Args:
            images: float32 (k x B, C, H, W).
            labels: int64 (k x B,), or float32 (k x B, K).
            tensors: Of the state; they change in place.
            coefficients: Of the update rule, for each step.

        Returns:
            The mean loss () and the logits (B, K) of each step, by the weights before it.
        """
        with _as_written():
            found: tuple[list[Tensor], list[Tensor]] = self._run(images, labels, tensors, coefficients)
        return found


def _as_written() -> contextlib.AbstractContextManager[None]:
    """No optimisation passes: they take half a second, and may change the order of sums."""
    from torch.jit import _fuser

    context: contextlib.AbstractContextManager[None] = _fuser.optimized_execution(should_optimize=False)
    return context


def _source(graph: fx.Graph, batch_size: int) -> str:
    """The loop's text; what depends on the state's views alone stands before the loop."""
    aten = torch.ops.aten
    names: dict[fx.Node, Any] = {node: node.target for node in graph.nodes if node.op == "placeholder"}
    numbers = [name for name in names.values() if name.startswith(COEFFICIENT)]
    tensors = {node: name for node, name in names.items() if name not in ("input_0", "input_1", *numbers)}
    before = [f"{name} = tensors[{index}]" for index, name in enumerate(tensors.values())]
    step = [f"{name} = numbers[{index}]" for index, name in enumerate(numbers)]
    for index, node in enumerate(node for node in graph.nodes if node.op == "call_function"):
        if node.target is operator.getitem:
            parts = names[node.args[0]]
            names[node] = parts[node.args[1]] if isinstance(parts, list) else f"{parts}[{node.args[1]}]"
            continue
        names[node] = f"value_{index}"
        if node.target.overloadpacket.__name__.startswith(FOREACH):
            calls = _each(node, names)
            names[node] = [f"value_{index}_{n}" for n in range(len(calls))]
            step += [f"{name} = {call}" for name, call in zip(names[node], calls, strict=True)]
            continue
        line = f"{names[node]} = {_call_text(node, names)}"
        (before if node.target is aten.t.default and node.args[0] in tensors else step).append(line)
    outputs: Any = graph.output_node().args[0]
    loss, scores = outputs
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


def _each(node: fx.Node, names: dict[fx.Node, Any]) -> list[str]:
    """An operator over lists as one call for each element: TorchScript takes one over lists for dead code."""
    target: Any = node.target
    called = target.overloadpacket.__name__.removeprefix(FOREACH)
    arguments = {argument.name: value for argument, value in zip(target._schema.arguments, node.args, strict=False)}
    calls = []
    first: Any = node.args[0]
    for n in range(len(first)):
        own = {
            name: value[n] if isinstance(value, list) else value for name, value in (arguments | node.kwargs).items()
        }
        texts = [
            f"{name}={text}" if name in KEYWORDS else text
            for name, value in own.items()
            if (text := _text(value, names))
        ]
        calls.append(f"torch.ops.{target.namespace}.{called}({', '.join(texts)})")
    return calls


def _text(value: Any, names: dict[fx.Node, Any]) -> str:
    if isinstance(value, fx.Node):
        return str(names[value])
    if isinstance(value, tuple | list):
        return f"[{', '.join(_text(item, names) for item in value)}]"
    if isinstance(value, bool | int | float | torch.dtype | torch.memory_format) or value is None:
        return str(value)
    raise NotScripted(f"an operator takes a {type(value).__name__}")
