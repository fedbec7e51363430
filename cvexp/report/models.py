"""How models are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, hint, shape, suggest, table
from cvexp.settings import Flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.jobs.models import Described


def show_list(models: Sequence[Described]) -> None:
    """Print every model with its size for one dataset's shape."""
    made = table(("model", "left"), ("description", "left"), ("parameters", "right"), ("MACs", "right"))
    for model in models:
        made.add_row(
            cell(model.entry.name),
            cell(model.entry.summary),
            f"{model.summary.size.parameters:,}",
            f"{model.summary.macs:,}",
        )
    console().print(made)
    if models:
        first = models[0]
        hint(f"for one {shape(first.image_shape)} image of {first.dataset}, {first.hidden_units} hidden units")
    suggest(Flags().command("models", "NAME"))


def show(model: Described) -> None:
    """Print one model's description, arguments and layers."""
    out = console()
    out.print(cell(model.entry.name, "bold"))
    for paragraph in model.about.split("\n\n"):
        out.print(cell(" ".join(paragraph.split())))
    made = table(("layer", "left"), ("kind", "left"), ("output", "left"), ("parameters", "right"), ("MACs", "right"))
    for layer in model.summary.layers:
        made.add_row(
            cell(layer.name), cell(layer.kind), shape(layer.output_shape), f"{layer.parameters:,}", f"{layer.macs:,}"
        )
    made.add_section()
    made.add_row("all", "", "", f"{model.summary.size.parameters:,}", f"{model.summary.macs:,}")
    out.print(made)
    for name, default in model.arguments.items():
        out.print(cell(f"--model-arg {name}={str(default).lower()} is the default"))
    hint(f"for one {shape(model.image_shape)} image of {model.dataset}; MACs are multiply-accumulates")


def document(model: Described) -> dict[str, Any]:
    """One model for `--json`."""
    return {
        "name": model.entry.name,
        "summary": model.entry.summary,
        "dataset": model.dataset,
        "image_shape": list(model.image_shape),
        "hidden_units": model.hidden_units,
        "arguments": model.arguments,
        "parameters": model.summary.size.parameters,
        "bytes": model.summary.size.bytes,
        "macs": model.summary.macs,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "output_shape": list(layer.output_shape),
                "parameters": layer.parameters,
                "macs": layer.macs,
            }
            for layer in model.summary.layers
        ],
    }
