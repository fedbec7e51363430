"""Record one step of a model as the list of ATen calls it comes to, so that it can be replayed without autograd."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cvexp.engine.state import Unsupported
from cvexp.engine.step import train_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.engine.state import TrainState

COEFFICIENT = "coefficient_"
"""How the program's numeric inputs are called; the others are tensors."""

_UNREPLAYABLE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view)


def record(state: TrainState, images: Tensor, labels: Tensor) -> tuple[fx.GraphModule, list[int]]:
    """Record one step's forward, loss, backward and update.

    Args:
        state: A copy; it is changed by the step.
        images: float32 (B, C, H, W).
        labels: int64 (B,), or float32 (B, K).

    Returns:
        The program from (images, labels, *tensors of the state, *coefficients of the rule) to (loss, logits), which
        changes the tensors in place; and the indices of the parameters that have a gradient.

    Raises:
        Unsupported: The step is not the same sequence of operators for every batch, or needs what is no input.
    """
    state.model.train()
    # Each stands for a coefficient, and is recognised by its value where an operator gets it.
    marks = [math.pi / (7 + index) for index in range(len(state.coefficients(1)))]
    with _Recorder([images, labels, *state.tensors()], marks) as recorder:
        outputs = train_step(state, images, labels, marks)
    trained = state.trained()
    if not trained:
        raise Unsupported("no parameter has a gradient")
    return recorder.program(outputs), trained


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Writes every ATen call made under it into a graph, whose arguments are `inputs` and the numbers `marks`."""

    def __init__(self, inputs: Sequence[Tensor], marks: Sequence[float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self._graph = fx.Graph()
        self._nodes: dict[int, fx.Node] = {}
        self._alive: list[Tensor] = []  # so that no identity is given out twice
        for index, tensor in enumerate(inputs):
            self._bind(tensor, self._graph.placeholder(f"input_{index}"))
        self._marks = {mark: self._graph.placeholder(f"{COEFFICIENT}{index}") for index, mark in enumerate(marks)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True, the default, imports torch._dynamo: 1.3 s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make the call `func` and write it down."""
        if any(tag in func.tags for tag in _UNREPLAYABLE):
            raise Unsupported(f"{func} depends on values or changes a shape in place")
        node = self._graph.call_function(func, self._written(args), self._written(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if isinstance(result, tuple | list):
            for index, part in enumerate(result):
                if isinstance(part, Tensor) and id(part) not in self._nodes:
                    self._bind(part, self._graph.call_function(operator.getitem, (node, index)))
        elif result is None:  # in-place operators over lists
            pass
        elif not isinstance(result, Tensor):
            raise Unsupported(f"{func} gives a {type(result).__name__}, and only tensors can be replayed")
        elif id(result) not in self._nodes:  # else it was changed in place
            self._bind(result, node)
        return result

    def program(self, outputs: Sequence[Tensor]) -> fx.GraphModule:
        """What was recorded, as a module whose `forward` returns `outputs`."""
        self._graph.output(tuple(self._written(output) for output in outputs))
        _simplify(self._graph)
        _save_memory(self._graph)
        return fx.GraphModule(nn.Module(), self._graph)

    def _bind(self, tensor: Tensor, node: fx.Node) -> None:
        self._alive.append(tensor)
        self._nodes[id(tensor)] = node

    def _written(self, value: Any) -> Any:
        """`value` as the graph has it: in place of each tensor, the node that makes it."""
        if isinstance(value, Tensor):
            if id(value) not in self._nodes:
                raise Unsupported("the model uses a tensor that is neither a parameter nor a buffer")
            return self._nodes[id(value)]
        if isinstance(value, float) and value in self._marks:
            return self._marks[value]
        if isinstance(value, tuple | list):
            return type(value)(self._written(item) for item in value)
        if isinstance(value, dict):
            return {key: self._written(item) for key, item in value.items()}
        if value is not None and not isinstance(value, fx.node.base_types):
            raise Unsupported(f"an operator takes a {type(value).__name__}")
        return value


def _simplify(graph: fx.Graph) -> None:
    """Leave out what computes nothing: detach, copies of gradients, transposes done twice, results nobody uses.

    Autograd copies a gradient that somebody else holds, as the recorder does. A rule changes no gradient in place, so
    the copy is not needed.
    """
    aten = torch.ops.aten
    transposed: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.target is aten.detach.default:
            node.replace_all_uses_with(node.args[0])
        elif node.target is aten.copy_.default and node.args[0].target is aten.new_empty_strided.default:
            node.args[0].replace_all_uses_with(node.args[1])
            graph.erase_node(node)
        elif node.target is aten.t.default:
            of = node.args[0]
            twice = of.target is aten.t.default
            node.replace_all_uses_with(of.args[0] if twice else transposed.setdefault(of, node))
    graph.eliminate_dead_code()


def _save_memory(graph: fx.Graph) -> None:
    """Let ReLU, forward and backward, overwrite what nobody else reads."""
    aten = torch.ops.aten
    for node in graph.nodes:
        first: Any = node.args[0] if node.args else None
        if node.target is aten.relu.default and _is_spare(first):
            node.target = aten.relu_.default
        elif node.target is aten.threshold_backward.default and _is_spare(first):
            node.target = aten.threshold_backward.grad_input
            node.kwargs = {"grad_input": first}


def _is_spare(node: fx.Node) -> bool:
    """Whether a value has storage of its own that nobody but its one user reads, so that it may be overwritten."""
    aten = torch.ops.aten
    makers = {
        aten.addmm.default,
        aten.convolution.default,
        aten.convolution_backward.default,
        aten.max_pool2d_with_indices_backward.default,
        aten.mm.default,
    }
    maker = node.args[0] if node.target is operator.getitem else node
    return isinstance(maker, fx.Node) and maker.target in makers and len(node.users) == 1


def python_loop(
    program: fx.GraphModule, *, batch_size: int
) -> Callable[[Tensor, Tensor, list[Tensor], list[list[float]]], tuple[list[Tensor], list[Tensor]]]:
    """The program over a list of batches, called from Python; see ScriptedLoop for the arguments."""
    forward = _bound(program).forward

    def loop(
        images: Tensor, labels: Tensor, tensors: list[Tensor], coefficients: list[list[float]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        losses, logits = [], []
        batches = [torch.split(tensor, batch_size) for tensor in (images, labels)]
        for step_images, step_labels, numbers in zip(*batches, coefficients, strict=True):
            loss, step_logits = forward(step_images, step_labels, *tensors, *numbers)
            losses.append(loss)
            logits.append(step_logits)
        return losses, logits

    return loop


def _bound(program: fx.GraphModule) -> fx.GraphModule:
    """The same operators, called as `torch.*` where that has them: a microsecond less than a call of the overload."""
    aten = torch.ops.aten
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    bound = {
        aten._foreach_add_.List: torch._foreach_add_,
        aten._log_softmax.default: torch._log_softmax,
        aten.addmm.default: torch.addmm,
        aten.mm.default: torch.mm,
        aten.relu.default: torch.relu,
        aten.relu_.default: torch.relu_,
        aten.sum.dim_IntList: torch.sum,
        aten.t.default: torch.t,
    }
    for node in graph.nodes:
        node.target = bound.get(node.target, node.target)
    return fx.GraphModule(nn.Module(), graph)
