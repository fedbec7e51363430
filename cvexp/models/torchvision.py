"""torchvision's classifiers, as `torchvision:NAME`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from cvexp.config.model import ModelConfig
from cvexp.errors import ModelError, WeightsError, closest
from cvexp.models.stem import AUTO, fit_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import nn

    from cvexp.models.pretrained import Preprocessing
    from cvexp.models.registry import Factory

_BY_MODULE: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "vision_transformer": lambda height, _: {"image_size": height},
    "maxvit": lambda height, width: {"input_size": (height, width)},
    "googlenet": lambda _, __: {"aux_logits": False, "init_weights": True},
    "inception": lambda _, __: {"aux_logits": False, "init_weights": True},
}
"""What builders of these modules are given besides the number of classes, from height and width."""


def names() -> Sequence[str]:
    """See Family."""
    from torchvision import models

    found: list[str] = models.list_models(module=models)
    return found


def factory(name: str) -> Factory:
    """See Family; the factory of a ResNet takes `stem`, see `fit_stem`."""
    from torchvision import models

    known = names()
    if name not in known:
        raise ModelError(f"torchvision has no classifier called {name!r}", closest(name, known, "torchvision"))
    module = models.get_model_builder(name).__module__.rpartition(".")[2]

    def plain(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = ModelConfig.hidden_units) -> nn.Module:
        """A network of torchvision with a head for the classes, and its first convolution for the channels."""
        return fit_stem(_built(name, module, image_shape, n_classes, hidden_units), image_shape)

    def residual(
        image_shape: Sequence[int], n_classes: int, *, hidden_units: int = ModelConfig.hidden_units, stem: str = AUTO
    ) -> nn.Module:
        """A ResNet of torchvision with a head for the classes; `stem` fits it to small images."""
        return fit_stem(_built(name, module, image_shape, n_classes, hidden_units), image_shape, stem=stem)

    return residual if module == "resnet" else plain


def _built(name: str, module: str, image_shape: Sequence[int], n_classes: int, hidden_units: int) -> nn.Module:
    import torch
    from torchvision import models

    check_hidden_units(hidden_units)
    _, height, width = image_shape
    if module == "vision_transformer" and height != width:
        raise ValueError("it takes square images only")
    fitted = _BY_MODULE[module](height, width) if module in _BY_MODULE else {}
    options = {"weights": None, "num_classes": n_classes, **fitted}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how initial weights will be drawn in the future
        try:
            model: nn.Module = models.get_model(name, **options)
        except NotImplementedError:  # a RegNet computes its widths with tensors, which have no values on `meta`
            with torch.device("cpu"):
                model = models.get_model(name, **options)
    return model


def check_hidden_units(hidden_units: int) -> None:
    """ValueError where `--hidden-units` was given for a model that has none."""
    if hidden_units != ModelConfig.hidden_units:
        raise ValueError("its widths are fixed: leave --hidden-units out")


def preprocessing(name: str) -> Preprocessing | None:
    """See Family."""
    from cvexp.models.pretrained import Preprocessing, known_interpolation

    weights = _published(name)
    if weights is None:
        return None
    preset = weights.transforms()
    return Preprocessing(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=known_interpolation(preset.interpolation.value),
        image_size=int(preset.crop_size[0]),
    )


def default_state(name: str) -> tuple[Mapping[str, torch.Tensor], str]:
    """See Family."""
    weights = _published(name)
    if weights is None:
        raise WeightsError(f"torchvision publishes no weights of {name}", "name a file: --weights FILE")
    try:
        state: Mapping[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # whatever is wrong with the network, the disk or the file
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"torchvision's weights of {name} cannot be downloaded: {reason[:120]}"
        raise WeightsError(what, "name a file that is here: --weights FILE") from error
    return state, f"torchvision's {weights.name}"


def _published(name: str) -> Any:
    from torchvision import models

    return getattr(models.get_model_weights(name), "DEFAULT", None)
