"""What can steer a model's Python code: attributes of its modules, plain values of its classes and files, generators.

A recording holds tensors' operators alone. A model whose Python state changes from step to step cannot be replayed,
even where its first steps happen to be equal.
"""

from __future__ import annotations

import random
from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cvexp.engine.state import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Plain = bool | int | float | str

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Parameters, buffers, hooks, the mode: values or other checks show what happens to these."""


class PythonWatch:
    """Notices when the Python state of a model changes from one look to the next.

    Tensors in attributes are left out: a recording declines those that its operators read.

    Args:
        model: Whose code is watched.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._last: dict[str, object] = {}

    def look(self) -> None:
        """Compare with the look before, if there was one.

        Raises:
            Unsupported: Something changed; it is named.
        """
        now, last = _snapshot(self._model), self._last
        if last and now != last:
            changed = next(name for name in [*now, *last] if name not in now or now[name] != last.get(name, _ABSENT))
            raise Unsupported(f"{changed} changes from step to step")
        self._last = now


class SharedValues:
    """Plain values of the classes and files that a model's code stands in, as they were, to be put back."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._values = {label: (owner, name, value) for label, owner, name, value in _shared(model)}

    def restore(self) -> None:
        """Put back what was changed, and remove what was added."""
        for label, owner, name, value in _shared(self._model):
            if label not in self._values:
                _remove(owner, name)
            elif value != self._values[label][2]:
                _put(*self._values[label])


_ABSENT = object()


def _snapshot(model: nn.Module) -> dict[str, object]:
    """Comparable values by a name for people."""
    modules = dict(model.named_modules())
    seen = {id(module): index for index, module in enumerate(modules.values())}
    found: dict[str, object] = {}
    for path, module in modules.items():
        for name, value in vars(module).items():
            if name not in _OF_EVERY_MODULE:
                found[f"{path or type(model).__name__}.{name}"] = _comparable(value, seen)
    found |= {label: (type(value).__name__, repr(value)) for label, _, _, value in _shared(model)}
    found["the state of Python's random"] = random.getstate()
    found["the state of numpy.random"] = _comparable(np.random.get_state(legacy=False), {})  # noqa: NPY002 - what user code draws from
    return found


def _comparable(value: Any, seen: dict[int, int]) -> object:
    """A hashable value that is equal for equal contents, however deep they are.

    Args:
        value: Anything.
        seen: The objects on the way, by identity: what refers to itself comes to an end.
    """
    if value is None or isinstance(value, bool | int | str | bytes | float | complex):
        return type(value).__name__, repr(value)
    if isinstance(value, _OPAQUE):
        return "tensor" if isinstance(value, Tensor) else id(value)
    if id(value) in seen:
        return "seen", seen[id(value)]
    seen[id(value)] = len(seen)
    contents = _contents(value)
    if isinstance(contents, dict):
        contents = [part for item in contents.items() for part in item]
    parts = (_comparable(part, seen) for part in contents)
    return frozenset(parts) if isinstance(contents, set | frozenset) else (type(value).__name__, *parts)


_OPAQUE = (Tensor, type, ModuleType, FunctionType, BuiltinFunctionType)
_STATES: dict[type, Callable[[Any], Any]] = {
    np.ndarray: lambda array: (array.dtype.str, array.tobytes(), *array.shape),
    np.random.Generator: lambda generator: generator.bit_generator.state,
    np.random.RandomState: lambda generator: generator.get_state(legacy=False),
    random.Random: lambda generator: generator.getstate(),
    torch.Generator: lambda generator: generator.get_state().tolist(),
}


def _contents(value: Any) -> Any:
    """The parts of an object, of one that keeps them to itself what it prints."""
    if isinstance(value, dict | list | tuple | deque | set | frozenset):
        return value
    for kind, state in _STATES.items():
        if isinstance(value, kind):
            return state(value)
    return vars(value) if hasattr(value, "__dict__") else [repr(value)]


def _shared(model: nn.Module) -> Iterator[tuple[str, Any, str, Plain]]:
    """Plain values outside the model that its code can change: label, class or namespace, name, value."""
    kinds = dict.fromkeys(kind for module in model.modules() for kind in type(module).__mro__)
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in ("torch", "builtins")]
    files: dict[int, dict[str, Any]] = {}
    for kind in own:
        for name, value in list(vars(kind).items()):
            if isinstance(value, FunctionType):
                files.setdefault(id(value.__globals__), value.__globals__)
            elif isinstance(value, Plain) and not name.startswith("__"):
                yield f"class attribute {kind.__name__}.{name}", kind, name, value
    for values in files.values():
        for name, value in list(values.items()):
            if isinstance(value, Plain) and not name.startswith("__"):
                yield f"global {values.get('__name__')}.{name}", values, name, value


def _put(owner: Any, name: str, value: Plain) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _remove(owner: Any, name: str) -> None:
    if isinstance(owner, dict):
        del owner[name]
    else:
        delattr(owner, name)
