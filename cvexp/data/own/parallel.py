"""Work on many images in threads: decoders, hashes and resizing release the interpreter's lock."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from cvexp.data.progress import tell
from cvexp.device import threads, usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AT_ONCE = 16
"""Images of one task."""


def for_each(rows: Sequence[int], work: Callable[[int], object], *, what: str) -> None:
    """Call `work` with every one of `rows`, on all CPUs, and tell how far it is; what it raises ends the rest."""
    pieces = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]

    def several(piece: Sequence[int]) -> int:
        for row in piece:
            work(row)
        return len(piece)

    n_workers, n_done = usable_cpus(), 0
    tell(what, 0, len(rows))
    with threads(1), ThreadPoolExecutor(n_workers, thread_name_prefix="cvexp-images") as pool:
        waiting = iter(pieces)
        running = {pool.submit(several, piece) for _, piece in zip(range(4 * n_workers), waiting, strict=False)}
        try:
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                n_done += sum(one.result() for one in ended)
                running |= {pool.submit(several, piece) for _, piece in zip(ended, waiting, strict=False)}
                tell(what, n_done, len(rows))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
