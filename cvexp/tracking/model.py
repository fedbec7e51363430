"""The logged model: weights or a program, specification and a loader, readable where cvexp is not installed."""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cvexp.tracking.store import mute

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGED_NAME = "model"
SOURCE = Path(__file__).parents[1]
PROGRAM = "model.onnx"
HASH_DIGITS = 12


class Kind(NamedTuple):
    """What a logged model carries along: files of cvexp, the one that loads it last, and packages that it needs."""

    code: tuple[str, ...]
    required: tuple[str, ...]


OF_WEIGHTS = Kind(
    code=("data/transforms.py", "models/architectures.py", "models/serving.py"), required=("mlflow", "torch", "numpy")
)
OF_PROGRAM = Kind(code=("models/onnx_serving.py",), required=("mlflow", "onnxruntime", "numpy"))


def write_model(
    folder: Path, weights: Path, *, model_id: str, run_id: str, image_shape: Sequence[int], n_classes: int
) -> None:
    """Write an MLflow model into `folder`, which does not exist yet, in cvexp's own flavour of pyfunc, without pickles.

    It takes uint8 (N, C, H, W) and answers float32 logits (N, K), where `image_shape` is (C, H, W) and `n_classes` K.
    The folder `weights` holds `model.json`, and `state_dict.pt` of a built-in model or `model.onnx` of another one.
    """
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind = OF_PROGRAM if (weights / PROGRAM).exists() else OF_WEIGHTS
    staging = folder.with_name("code")
    package = _write_code(staging, kind.code)
    images, logits = (np.dtype("uint8"), (-1, *image_shape)), (np.dtype("float32"), (-1, n_classes))
    signature = ModelSignature(Schema([TensorSpec(*images)]), Schema([TensorSpec(*logits)]))
    try:
        mute()  # MLflow warns where pip is not installed, as in environments made by uv
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=f"{package}.models.{Path(kind.code[-1]).stem}",
            data_path=str(weights),
            code_paths=[str(staging / package)],
            uv_project_path=str(staging),  # no uv project: MLflow would copy the working folder's files
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            signature=signature,
            input_example=np.zeros((1, *image_shape), np.uint8),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in kind.required],
        )
    finally:
        shutil.rmtree(staging)


def _write_code(staging: Path, code: Sequence[str]) -> str:
    """Copy the loader's files into a package named after their content, and return that name."""
    contents = {name: (SOURCE / name).read_bytes() for name in code}
    digest = hashlib.sha256(b"\0".join(contents.values())).hexdigest()[:HASH_DIGITS]
    package = f"cvexp_model_{digest}"
    for name, content in contents.items():
        file = staging / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        for folder in (file.parent, staging / package):
            (folder / "__init__.py").write_text('"""The code of a model that cvexp logged."""\n')
    return package
