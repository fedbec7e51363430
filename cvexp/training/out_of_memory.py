"""Running out of memory, on any device, as an error with a remedy."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cvexp.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Raise an out-of-memory error within the block, on any device, as one line with a remedy."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in text:
            raise
        raise TrainingError("out of memory while training", "try a smaller --batch-size or --hidden-units") from error
