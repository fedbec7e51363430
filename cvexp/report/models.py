"""How models are shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cvexp.jobs.models import COUNTED_SHAPE, Described, ModelList
from cvexp.report.terminal import cell, console, hint, shape, suggest, table
from cvexp.settings import Flags

if TYPE_CHECKING:
    from cvexp.models.summary import LayerSummary

MOST_ROWS = 40
"""Of a model's table, where no depth is asked for: as many as one screen or two."""


def show_list(models: ModelList) -> None:
    """Print every model with its size, those of the libraries as well where they were asked for."""
    made = table("model", "description", ">parameters", ">MACs")
    for model in models.described:
        figures = (f"{model.summary.size.parameters:,}", f"{model.summary.macs:,}")
        made.add_row(cell(model.entry.name), cell(model.entry.summary), *figures)
    if models.described:
        console().print(made)
        first = models.described[0]
        hint(f"for one {shape(first.image_shape)} image of {first.dataset}, {first.hidden_units} hidden units")
    _show_libraries(models)
    suggest(Flags().command("models", "NAME"))


def _show_libraries(models: ModelList) -> None:
    found = models.of_libraries
    is_counted = any(one.parameters is not None for one in found)
    if is_counted:
        made = table("model", ">parameters")
        for one in found:
            made.add_row(cell(one.name), "" if one.parameters is None else f"{one.parameters:,}")
        console().print(made)
        hint(f"for {shape(COUNTED_SHAPE)} images and {models.n_classes} classes")
    elif found:
        for one in found:
            console().print(cell(one.name), soft_wrap=True)
        hint("with their parameters, where a pattern leaves few: cvexp models --all 'resnet*'")
    for library in models.missing:
        hint(f"{library} is not installed: pip install cvexp[{library}]")


def list_document(models: ModelList) -> dict[str, Any]:
    """Every model for `--json`."""
    listed = [asdict(one) for one in models.of_libraries]
    return {"models": [document(model) for model in models.described], **({"of_libraries": listed} if listed else {})}


def show(model: Described) -> None:
    """Print one model's description, arguments and blocks."""
    out = console()
    out.print(cell(model.entry.name, "bold"))
    for paragraph in model.about.split("\n\n"):
        out.print(cell(" ".join(paragraph.split())))
    layers = model.layers if len(model.layers) != len(model.summary.layers) else _fitting(model)
    made = table("layer", "kind", ">input", ">output", ">parameters", "trained", ">MACs")
    for column in made.columns:  # where the terminal is narrow, kinds are cut, and no figure
        column.no_wrap = column.header != "kind"
    for layer in layers:
        shapes = shape(layer.input_shape), shape(layer.output_shape)
        figures = f"{layer.parameters:,}", _trained(layer.parameters, layer.trainable_parameters), f"{layer.macs:,}"
        made.add_row(cell(layer.name), cell(layer.kind), *shapes, *figures)
    made.add_section()
    size = model.summary.size
    trained = f"{size.trainable_parameters:,}" if size.trainable_parameters < size.parameters else "all"
    made.add_row("all", "", "", "", f"{size.parameters:,}", trained, f"{model.summary.macs:,}")
    out.print(made)
    for name, default in model.arguments.items():
        out.print(cell(f"--model-arg {name}={str(default).lower()} is the default"))
    for line in model.adaptations:
        hint(line)
    hint(f"for one {shape(model.image_shape)} image of {model.dataset}; MACs are multiply-accumulates")
    if len(layers) < len(model.summary.layers):
        hint(f"{len(layers)} blocks of {len(model.summary.layers)} layers; all of them: --depth {model.summary.depth}")


def _fitting(model: Described) -> tuple[LayerSummary, ...]:
    """All layers, or the blocks of the greatest depth that has few rows."""
    summary = model.summary
    depths = (summary.at_depth(depth) for depth in range(summary.depth, 0, -1))
    return next((rows for rows in depths if len(rows) <= MOST_ROWS), summary.at_depth(1))


def _trained(parameters: int, trainable: int) -> str:
    return "" if not parameters else "yes" if trainable == parameters else "in part" if trainable else "no"


def document(model: Described) -> dict[str, Any]:
    """One model for `--json`."""
    return {
        "name": model.entry.name,
        "summary": model.entry.summary,
        "dataset": model.dataset,
        "image_shape": model.image_shape,
        "hidden_units": model.hidden_units,
        "arguments": model.arguments,
        "adaptations": model.adaptations,
        "freeze": model.frozen,
        **asdict(model.summary.size),
        "macs": model.summary.macs,
        "layers": [asdict(layer) for layer in model.layers],
    }
