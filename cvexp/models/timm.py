"""timm's classifiers, as `timm:NAME`, where the extra `cvexp[timm]` is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.config.model import ModelConfig
from cvexp.errors import ModelError, WeightsError, closest
from cvexp.models.stem import AUTO, fit_stem
from cvexp.models.torchvision import check_hidden_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from cvexp.models.pretrained import Preprocessing
    from cvexp.models.registry import Factory


def _library() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ModelError("timm is not installed, and timm:NAME is a model of it", "pip install cvexp[timm]") from error
    return timm


def names() -> Sequence[str]:
    """See Family; architectures, without the tags of their weights."""
    found: list[str] = _library().list_models()
    return found


def factory(name: str) -> Factory:
    """See Family; `name` may end in a tag of its published weights, as `resnet18.a1_in1k` does.

    The factory of a ResNet takes `stem`, see `fit_stem`.
    """
    timm = _library()
    architecture, dot, _ = name.partition(".")
    if not timm.is_model(architecture):
        raise ModelError(f"timm has no model called {name!r}", closest(architecture, names(), "timm"))
    if dot and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise ModelError(f"timm publishes no weights called {name!r}", closest(name, tagged, "timm"))

    def plain(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = ModelConfig.hidden_units) -> nn.Module:
        """A network of timm with a head for the classes, and its first convolution for the channels."""
        return fit_stem(_built(name, image_shape, n_classes, hidden_units), image_shape)

    def residual(
        image_shape: Sequence[int], n_classes: int, *, hidden_units: int = ModelConfig.hidden_units, stem: str = AUTO
    ) -> nn.Module:
        """A ResNet of timm with a head for the classes; `stem` fits it to small images."""
        return fit_stem(_built(name, image_shape, n_classes, hidden_units), image_shape, stem=stem)

    of_resnets = timm.models.model_entrypoint(architecture).__module__ == "timm.models.resnet"
    return residual if of_resnets else plain


def _built(name: str, image_shape: Sequence[int], n_classes: int, hidden_units: int) -> nn.Module:
    check_hidden_units(hidden_units)
    timm = _library()
    channels, height, width = image_shape
    published = timm.get_pretrained_cfg(name)
    sized = {"img_size": (height, width)} if published is not None and published.fixed_input_size else {}
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes, in_chans=channels, **sized)
    return model


def preprocessing(name: str) -> Preprocessing | None:
    """See Family."""
    from cvexp.models.pretrained import Preprocessing, known_interpolation

    published = _library().get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        return None
    return Preprocessing(
        mean=tuple(published.mean),
        std=tuple(published.std),
        interpolation=known_interpolation(published.interpolation),
        image_size=int(published.input_size[1]),
    )


def default_state(name: str) -> tuple[Mapping[str, torch.Tensor], str]:
    """See Family."""
    timm = _library()
    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise WeightsError(f"timm publishes no weights of {name}", "name a file: --weights FILE")
    try:
        state = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever is wrong with the network, the disk or the file
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"timm's weights of {name} cannot be downloaded: {reason[:120]}"
        raise WeightsError(what, "name a file that is here: --weights FILE") from error
    return state, f"timm's {published.architecture}.{published.tag}"
