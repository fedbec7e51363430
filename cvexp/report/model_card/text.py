"""The sections of a model card, and what they say of data and recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.jobs.model_card import MARK
from cvexp.report.model_card.figures import figures, files_of, limits
from cvexp.report.model_card.header import header
from cvexp.report.model_card.markup import block, code, plain, rows_of
from cvexp.report.model_card.use import how_to_call
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from cvexp.jobs.model_card import Measured, ModelFacts

LONGEST_LIST = 30
"""Class names that are listed in the text."""

_RESIZE = {
    "crop": "resized until the image just covers that size, then its centre is kept",
    "squeeze": "resized to exactly that size, whatever its proportions",
    "pad": "resized until the image just fits in that size, black added at the shorter sides",
}


def text(facts: ModelFacts) -> str:
    """The card: header, what the model is, data, recipe, figures, limits, how to call it, files with their digests.

    Everything that came from data is escaped.
    """
    spec, card = facts.card.spec, facts.card
    sections = {
        "Data": _data(facts),
        "Recipe": _recipe(facts),
        "Figures": figures(facts),
        "Limits": limits(facts),
        "How to call it": how_to_call(facts),
        "Files": files_of(facts.files),
    }
    title = f"# {plain(card.run_name)}"
    shape = "x".join(map(str, spec.image_shape))
    about = (
        f"{code(spec.model)} says which of {len(spec.class_names):,} classes of {plain(spec.dataset)} an image "
        f"of {shape} (channels, height, width) shows.{_headline(facts.measured)}"
    )
    mark = MARK.format(card.run_id if card.run_id.isalnum() else "")
    body = [f"## {name}\n\n{content}" for name, content in sections.items() if content]
    return "\n\n".join([header(facts), mark, title, about, *body]) + "\n"


def _headline(measured: Measured | None) -> str:
    if measured is None:
        return ""
    between = f"95%: {measured.low:.2%} to {measured.high:.2%}"
    return f" On {measured.n_images:,} test images it is right in **{measured.accuracy:.2%}** ({between})."


def _data(facts: ModelFacts) -> str:
    spec, transform = facts.card.spec, facts.card.spec.transform
    channels, height, width = spec.image_shape
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    n_test = facts.measured.n_images if facts.measured is not None else None
    counts = [f"{n:,} {what}" for n, what in ((facts.n_train, "training"), (n_test, "test")) if n is not None]
    fitting = f"{_RESIZE[spec.fitting.resize]} ({spec.fitting.interpolation}, antialiased)"
    scaled = "pixels divided by 255"
    if transform.mean is not None:
        mean, std = (", ".join(f"{value:.6g}" for value in some) for some in (transform.mean, transform.std or ()))
        scaled += f", then less the mean ({mean}) and divided by the standard deviation ({std})"
    names = [code(name) for name in spec.class_names[:LONGEST_LIST]]
    more = f" and {len(spec.class_names) - LONGEST_LIST:,} more" if len(spec.class_names) > LONGEST_LIST else ""
    split = f"{facts.card.split_seed}" + (f", of {facts.card.limit:,} images" if facts.card.limit else "")
    rows = {
        "dataset": f"{plain(spec.dataset)}, digest {code(spec.dataset_digest)}",
        "images": ", ".join(counts),
        "split seed": split,
        "classes": ", ".join(names) + more,
        "size": f"{height} x {width}, {colours}",
        "other sizes": fitting,
        "transform": scaled,
    }
    return rows_of(rows)


def _recipe(facts: ModelFacts) -> str:
    """The command, since what it does not say is at its default, and the versions it ran with."""
    settings = facts.card.settings
    how = rows_of({plain(name): plain(value) for name, value in settings.items()})
    if facts.command:
        how = f"{block('bash', facts.command)}\n\nWhat the command does not say is at cvexp {VERSION}'s default."
    versions = ", ".join(f"{plain(name)} {plain(version)}" for name, version in facts.versions.items() if version)
    device = plain(facts.card.device_name)
    trained = ", ".join(filter(None, (device and f"on {device}", versions and f"with {versions}")))
    parts = [how, trained and f"Trained {trained}."]
    if facts.seeds is not None:
        seeds, own = ", ".join(map(str, facts.seeds.seeds)), plain(settings.get("seed", "?"))
        parts.append(f"Seeds of this recipe that were trained: {seeds}. This is seed {own}.")
    return "\n\n".join(filter(None, parts))
