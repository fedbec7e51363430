"""Validation of what a source returned: a plug-in's source may return anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.data.sources import Arrays
from cvexp.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

    from cvexp.data.registry import DatasetSpec


def checked(spec: DatasetSpec, arrays: object) -> Arrays:
    """Validate arrays against the dataset's specification, and make them contiguous and writable, as torch needs it.

    Labels may be of any integer dtype.

    Raises:
        DatasetError: A dtype, a shape, a label or a count is not what it should be.
    """
    if not isinstance(arrays, Arrays):
        raise _refusal(spec, f"its source read {_kind(arrays)}", "cvexp.data.sources.Arrays")
    parts: dict[str, npt.NDArray[Any]] = {}
    for split, name in (("train", "training"), ("test", "test")):
        images, labels = getattr(arrays, f"{split}_images"), getattr(arrays, f"{split}_labels")
        wanted = f"a numpy array of uint8, {'x'.join(map(str, ('N', *spec.image_shape)))}"
        if not _is_array(images, np.uint8) or images.shape[1:] != tuple(spec.image_shape):
            raise _refusal(spec, f"its {name} images are {_kind(images)}", wanted)
        if not _is_array(labels, np.integer) or labels.ndim != 1:
            raise _refusal(spec, f"its {name} labels are {_kind(labels)}", "a numpy array of integers, N")
        if len(images) != len(labels):
            seen = f"it has {len(images):,} {name} images and {len(labels):,} {name} labels"
            raise _refusal(spec, seen, "a label for each image")
        if not len(images):
            raise _refusal(spec, f"it has no {name} images", "one at least")
        if not 0 <= labels.min() <= labels.max() < len(spec.class_names):
            seen = f"its {name} labels go from {labels.min()} to {labels.max()}"
            raise _refusal(spec, seen, f"0 to {len(spec.class_names) - 1}, an index for each of its class names")
        parts[f"{split}_images"] = np.require(images, requirements=["C", "W"])
        parts[f"{split}_labels"] = np.require(labels, np.int64, requirements=["C", "W"])
    return Arrays(**parts)


def _is_array(value: object, dtype: Any) -> bool:
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, dtype)


def _kind(value: object) -> str:
    """A value's type; of an array, its dtype and shape."""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    return f"{value.dtype}, {'x'.join(map(str, value.shape)) or 'a scalar'}"


def _refusal(spec: DatasetSpec, seen: str, wanted: str) -> DatasetError:
    return DatasetError(f"dataset {spec.name}: {seen}", f"wanted: {wanted}; correct the dataset's source")
