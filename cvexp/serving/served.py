"""The model that is served: an ONNX Runtime session, and what its file says about its images and classes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from cvexp.data.fitting import Fitting, Interpolation, Resize
from cvexp.errors import WeightsError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

REMEDY = "export the run again: cvexp export RUN --format onnx"
UINT8 = "tensor(uint8)"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Served:
    """A model that answers images with logits, whatever thread asks.

    Attributes:
        session: Of ONNX Runtime; its input is `images`, uint8 (N, C, H, W), and one of its outputs `logits`.
        name: The run's, or the file's.
        version: `models:/NAME/VERSION` where it came from the registry, else empty.
        image_shape: (C, H, W).
        fitting: From images of any size to those of this shape.
    """

    session: Any
    name: str
    run_id: str
    version: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    fitting: Fitting

    def logits(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits float32 (N, K) of images uint8 (N, C, H, W), N at least 1."""
        (logits,) = self.session.run(["logits"], {"images": images})
        return np.asarray(logits, np.float32)


def load(path: Path, *, name: str, version: str = "", n_threads: int) -> Served:
    """The model in an ONNX file that cvexp exported, once it has answered an image.

    Raises:
        WeightsError: The file is missing or unsafe, or is no classifier of uint8 images that cvexp exported.
    """
    from cvexp.inference.onnx_session import open_session

    session = open_session(path, n_threads=n_threads)
    facts = session.get_modelmeta().custom_metadata_map
    inputs, outputs = session.get_inputs(), {output.name for output in session.get_outputs()}
    if [(one.name, one.type) for one in inputs] != [("images", UINT8)] or "logits" not in outputs:
        raise WeightsError(f"{path} does not take uint8 images and answer logits", "export the run without --raw")
    served = Served(
        session=session,
        name=name,
        run_id=facts.get("cvexp.run_id", "")[:64],
        version=version,
        class_names=_class_names(facts, path),
        image_shape=_image_shape(facts, path),
        fitting=_fitting(facts, path),
    )
    try:
        logits = served.logits(np.zeros((1, *served.image_shape), np.uint8))
    except Exception as error:  # the runtime raises its own kinds, for whatever a file may hold
        reason = str(error).splitlines()[0][:160]
        raise WeightsError(f"{path} cannot answer an image: {reason}", REMEDY) from error
    if logits.shape != (1, len(served.class_names)):
        seen = f"{len(served.class_names)} classes, and answers {shown(logits.shape)}"
        raise WeightsError(f"{path} names {seen}", REMEDY)
    return served


def _fact(facts: Mapping[str, str], name: str, path: Path) -> Any:
    try:
        return json.loads(facts[f"cvexp.{name}"])
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} does not say its {name.replace('_', ' ')}: no file of cvexp's", REMEDY) from error


def _class_names(facts: Mapping[str, str], path: Path) -> tuple[str, ...]:
    names = _fact(facts, "classes", path)
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise WeightsError(f"{path} has classes that are no list of names: {shown(names)}", REMEDY)
    return tuple(names)


def _image_shape(facts: Mapping[str, str], path: Path) -> tuple[int, int, int]:
    shape = _fact(facts, "image_shape", path)
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and 0 < n < 2**16 for n in shape)):  # noqa: PLR2004 - C, H, W
        raise WeightsError(f"{path} has an image shape that is none: {shown(shape)}", REMEDY)
    channels, height, width = shape
    return channels, height, width


def _fitting(facts: Mapping[str, str], path: Path) -> Fitting:
    found = _fact(facts, "fitting", path)
    wanted = {"resize": get_args(Resize), "interpolation": get_args(Interpolation)}
    if not (isinstance(found, dict) and found.keys() == wanted.keys() and all(found[k] in wanted[k] for k in wanted)):
        raise WeightsError(f"{path} has an unknown way to fit images: {shown(found)}", REMEDY)
    return Fitting(**found)
