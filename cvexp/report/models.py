"""How models are shown."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cvexp.jobs.models import Described
from cvexp.report.terminal import cell, console, hint, shape, suggest, table
from cvexp.settings import Flags


def show_list(models: Sequence[Described]) -> None:
    """Print every model with its size for one dataset's shape."""
    made = table("model", "description", ">parameters", ">MACs")
    for model in models:
        figures = (f"{model.summary.size.parameters:,}", f"{model.summary.macs:,}")
        made.add_row(cell(model.entry.name), cell(model.entry.summary), *figures)
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
    made = table("layer", "kind", "output", ">parameters", ">MACs")
    for layer in model.summary.layers:
        figures = (shape(layer.output_shape), f"{layer.parameters:,}", f"{layer.macs:,}")
        made.add_row(cell(layer.name), cell(layer.kind), *figures)
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
        "image_shape": model.image_shape,
        "hidden_units": model.hidden_units,
        "arguments": model.arguments,
        **asdict(model.summary.size),
        "macs": model.summary.macs,
        "layers": [asdict(layer) for layer in model.summary.layers],
    }
