"""Reading some images of a file that is larger than the memory there is for it.

A page fault reads what is around the page too: up to 8 MiB on the disks of cloud machines. In a random order all of
that is gone again before it is used. To ask for the images of a batch before they are touched reads these alone, and
many at once.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from typing import TYPE_CHECKING

from cvexp.machine import memory_for_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SHARE = 0.8
"""Of the memory that files may have now; the training takes some of it."""


def exceeds_memory(n_bytes: int) -> bool:
    """Whether a file of this size does not stay in memory while it is read again and again."""
    most = memory_for_files()
    return most is not None and n_bytes > SHARE * most


def read_ahead(images: Tensor, rows: Tensor) -> None:
    """Let the system begin to read `rows`, int64 (M,), of mapped `images` (N, ...); does nothing on Windows."""
    advise = _advise()
    if advise is None:
        return
    start, size = images.data_ptr(), images.stride(0) * images.element_size()
    for row in rows.tolist():
        first = (start + row * size) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(first, start + (row + 1) * size - first, mmap.MADV_WILLNEED)


@functools.cache
def _advise() -> Callable[[int, int, int], int] | None:
    """`madvise` of the C library: Python's own belongs to the mapping's object, which a tensor does not know."""
    if not hasattr(mmap, "MADV_WILLNEED"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    advise: Callable[[int, int, int], int] = function
    return advise
