"""Several processes that train one model together: what they tell each other, through torch.distributed."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # they are public there
from torch.distributed.rendezvous import rendezvous

from cvexp.checkpoint import parsed, serialised
from cvexp.engine.distributed.alone import Alone, Stop
from cvexp.errors import TrainingError
from cvexp.inference.predictor import logits_by_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from cvexp.device import Device
    from cvexp.process import Rank

POLL_SECONDS = 0.05
PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, which may be evaluating on a slower machine; one that ends is noticed."""

_GONE = re.compile(
    r"(connection|socket) (was )?(closed|reset|refused)|broken pipe|gloo|nccl|remote process", re.IGNORECASE
)
"""In what torch raises when another process has ended."""


class PeerLost(TrainingError):  # noqa: N818 - it names what happened
    """Another process of this training has ended; the training cannot go on."""


class Control:
    """A few words between processes, in the key-value store that torchrun's agent keeps; a call waits for nobody.

    Keys of an attempt before a restart are out of reach.
    """

    def __init__(self, place: Rank) -> None:
        store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
        self._store = PrefixStore(f"cvexp/{place.attempt}", store)
        self.place = place

    def tell(self, key: str, text: str) -> None:
        """Let all processes read it. Nothing is said where the agent is gone."""
        with contextlib.suppress(RuntimeError):
            self._store.set(key, text)

    def told(self, key: str) -> str | None:
        """What was told; None where nothing was. Raises RuntimeError where the agent is gone."""
        return self._store.get(key).decode() if self._store.check([key]) else None

    def awaited(self, key: str) -> str:
        """What is told, sooner or later: signals are heeded while it is waited for."""
        while (text := self.told(key)) is None:
            time.sleep(POLL_SECONDS)
        return text

    def new_store(self) -> Store:
        """For a process group."""
        return PrefixStore("group", self._store)


class Ranks(Alone):
    """The processes of a training, as this one sees them; see Alone, whose methods all of them call equally often.

    Numbers and orders go over gloo also where tensors of the device go over NCCL: it notices at once when another
    process has ended.
    """

    def __init__(self, control: Control, device: Device) -> None:
        place = control.place
        self.world, self.rank, self.device = place.world, place.rank, device
        self.backend = "nccl" if device.torch.type == "cuda" else "gloo"
        self._control, self._place, self._n_turns = control, place, 0
        self._remedy = "start it again"

    def add(self, values: Tensor) -> Tensor:
        """The sum of all processes' tensors, in place."""
        with self.watched():
            dist.all_reduce(values)
        return values

    def agreed(self, number: int) -> int:
        """See Alone."""
        shared = torch.tensor(number)
        with self.watched():
            dist.broadcast(shared, src=0)
        return int(shared)

    def same_order(self, order: Tensor) -> Tensor:
        """See Alone."""
        with self.watched():
            dist.broadcast(order, src=0)
        return order

    def share_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Alone. It goes as the bytes of a checkpoint, and is read as one: no pickle is executed."""
        content = torch.frombuffer(bytearray(serialised(state)), dtype=torch.uint8) if self.rank == 0 else None
        size = self.agreed(0 if content is None else len(content))
        content = torch.empty(size, dtype=torch.uint8) if content is None else content
        with self.watched():
            dist.broadcast(content, src=0)
        return state if self.rank == 0 else parsed(content.numpy().tobytes(), source=Path("what process 0 sent"))

    def logits_by_class(self, *arguments: Any, **how: Any) -> Tensor:
        """See Alone. Each process evaluates a part; all of them get all logits, and so equal figures of any kind."""
        model, images, transform = arguments
        n = len(images)
        if n < self.world:
            return logits_by_class(model, images, transform, **how)
        start, stop = (n * self.rank // self.world, n * (self.rank + 1) // self.world)
        own = logits_by_class(model, images[start:stop], transform, **how)
        whole = torch.zeros((len(own), n), dtype=own.dtype, device=own.device)
        whole[:, start:stop] = own
        return self.add(whole)

    def check_equal(self, tensors: Mapping[str, Tensor]) -> None:
        """See Alone; raises TrainingError. A layer that remembers the images it saw would make them differ."""
        sums = torch.stack([_checksum(tensor) for tensor in tensors.values()]).cpu()
        both = torch.cat([sums, -sums])
        with self.watched():
            dist.all_reduce(both, op=dist.ReduceOp.MAX)
        largest, smallest = both.chunk(2)
        differing = [name for name, same in zip(tensors, largest == -smallest, strict=True) if not same]
        if differing:
            raise TrainingError(
                f"{differing[0]} of the model differs between processes: it follows each one's own images",
                "train it on one device: leave --devices out",
            )

    def check_same(self, what: str, value: str) -> None:
        """See Alone; raises TrainingError."""
        if self.rank == 0:
            self._control.tell(what, value)
        elif (theirs := self._control.awaited(what)) != value:
            raise TrainingError(f"process {self.rank} has other {what} than process 0: {value}, not {theirs}")

    def advise(self, command: str) -> None:
        """See Alone."""
        self._remedy = f"go on from the last checkpoint: {command}"

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """See Alone. What the first one downloads or caches is there for the others."""
        self._n_turns += 1
        key = f"turn/{self._place.node}/{self._n_turns}"
        if self._place.local_rank:
            self._control.awaited(key)
        try:
            yield
        finally:
            if not self._place.local_rank:
                self._control.tell(key, "done")

    def relay(self, stop: Stop) -> None:
        """See Alone. Where the agent has ended, process 0 is to stop too: nobody could end it any more."""
        try:
            if self.rank and stop.signum is not None:
                self._control.tell("stop", str(stop.signum))
            elif not self.rank and stop.signum is None and (told := self._control.told("stop")) is not None:
                stop.signum = int(told)
        except RuntimeError:
            stop.signum = int(signal.SIGTERM)

    def notes(self, *, draws: bool) -> tuple[str, ...]:
        """See Alone."""
        equal = f"{self.world} processes ({self.backend}) share each batch: sums are rounded in another order"
        differing = "its random layers draw other numbers than on one device, as with another seed"
        return (equal, *([differing] if draws else []))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, that another process has ended is raised as PeerLost, with its own last words if any."""
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, dist.DistError) and not _GONE.search(str(error)):
                raise
            said = None
            with contextlib.suppress(RuntimeError):
                time.sleep(POLL_SECONDS)  # they may be on their way
                said = self._control.told("error")
            raise PeerLost(said or "another process of this training was lost", self._remedy) from error


def _checksum(tensor: Tensor) -> Tensor:
    """A sum over the bits of a tensor, int64 ()."""
    if tensor.dtype in _SAME_SIZE:
        tensor = tensor.detach().view(_SAME_SIZE[tensor.dtype])
    return tensor.sum(dtype=torch.int64)


_SAME_SIZE = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
