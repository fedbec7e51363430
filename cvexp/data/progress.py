"""Who is told how far a long look at many images has come; data knows no terminal."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Listener = Callable[[str, int, int], object]
    """Called with what is done, in words, and how many images of how many are."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Within the block, in this thread, tell `listener`; what it raises ends the work."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(what: str, n_done: int, n_images: int) -> None:
    """Say how far `what` has come."""
    listener = _listener.get()
    if listener is not None:
        listener(what, n_done, n_images)
