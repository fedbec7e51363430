"""Where in an image the evidence for its class is, drawn for the web form by a worker that has torch."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from cvexp.errors import CvexpError
from cvexp.serving.limits import Refusal, busy

if TYPE_CHECKING:
    import numpy.typing as npt

    from cvexp.serving.served import Served
    from cvexp.serving.worker import Worker

_MOST_WAITING = 8
EXPLAIN_SECONDS = 120.0
"""The longest that an explanation takes; the first one waits until torch and the weights are loaded."""

_RAISES, _LOWERS = np.array([(230, 97, 0), (0, 92, 230)], np.uint8)
"""Orange and blue, as in the pictures of `cvexp explain`."""


class Explainer:
    """Asks a worker for the evidence; the first request starts it, and then torch is loaded."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._n_waiting = 0
        self._is_loaded = False

    @property
    def state(self) -> Literal["idle", "ready"]:
        """`idle` while an explanation would have to wait until torch and the weights are loaded."""
        return "ready" if self._is_loaded and self._worker.is_running else "idle"

    async def evidence(self, served: Served, pixels: npt.NDArray[np.uint8], class_index: int) -> dict[str, Any]:
        """Method, layer, whether any was found, and two pictures: `pixels`, uint8 (C, H, W), and what to lay over."""
        if self._n_waiting >= _MOST_WAITING:
            raise busy(f"{self._n_waiting} images wait to be explained already")
        self._n_waiting += 1
        try:
            answer = await self._ask(served, pixels, class_index)
        except CvexpError as error:
            raise Refusal(503, error.lines()[0], error.hints[0] if error.hints else "") from error
        finally:
            self._n_waiting -= 1
        size = pixels.shape[1:]
        maps = np.frombuffer(base64.b64decode(answer["map"]), np.float32).reshape(size)
        return {
            "method": answer["method"],
            "layer": answer["layer"],
            "found": bool(maps.any()),
            "seen": _data_uri(_picture(pixels)),
            "evidence": _data_uri(_overlay(maps)),
        }

    async def _ask(self, served: Served, pixels: npt.NDArray[np.uint8], class_index: int) -> dict[str, Any]:
        request = {
            "do": "explain",
            "run_id": served.run_id,
            "shape": pixels.shape,
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
            "class": class_index,
        }
        answer = await self._worker.ask(request, seconds=EXPLAIN_SECONDS)
        self._is_loaded = True
        return answer


def _picture(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    if len(pixels) == 3:  # noqa: PLR2004 - RGB
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return Image.fromarray(pixels[0])


def _overlay(maps: npt.NDArray[np.float32]) -> Image.Image:
    """Orange where the values are above 0, blue where below; the more opaque, the farther from it."""
    most = float(np.abs(maps).max(initial=0.0))
    shares = np.abs(maps) / most if most > 0 else np.zeros_like(maps)
    made = np.zeros((*maps.shape, 4), np.uint8)
    made[..., :3] = np.where(maps[..., None] < 0, _LOWERS, _RAISES)
    made[..., 3] = np.rint(shares * 255)
    return Image.fromarray(made, "RGBA")


def _data_uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
