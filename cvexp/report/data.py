"""How datasets are shown."""

from collections.abc import Sequence
from typing import Any

from cvexp.jobs.data import Description, Listed
from cvexp.report.terminal import cell, console, hint, shape, table


def show_list(listed: Sequence[Listed], data_dir: str) -> None:
    """Print every dataset with its size, classes, image shape and location."""
    made = table("dataset", ">train", ">test", ">classes", "image", "where")
    made.columns[0].no_wrap = True
    for item in listed:
        spec = item.spec
        figures = (f"{spec.n_train:,}", f"{spec.n_test:,}", str(len(spec.class_names)), shape(spec.image_shape))
        where = cell(item.location) if item.location else cell("not downloaded yet", "dim")
        made.add_row(cell(spec.name), *figures, where)
    console().print(made)
    hint(f"data directory: {data_dir}")


def list_document(listed: Sequence[Listed], data_dir: str) -> dict[str, Any]:
    """The list for `--json`."""
    datasets = [
        {
            "name": item.spec.name,
            "title": item.spec.title,
            "here": item.location is not None,
            "place": item.location,
            "train": item.spec.n_train,
            "test": item.spec.n_test,
            "class_names": item.spec.class_names,
            "image_shape": item.spec.image_shape,
        }
        for item in listed
    ]
    return {"data_dir": data_dir, "datasets": datasets}


def show(description: Description) -> None:
    """Print one dataset's counts, shape, mean and standard deviation."""
    out = console()
    out.print(cell(f"{description.name}: {description.title}", "bold"))
    facts = table("", "")
    facts.add_row("read from", cell(description.location))
    facts.add_row("verified content", cell(description.digest))
    facts.add_row("image shape", shape(description.image_shape) + " (channels, height, width)")
    facts.add_row("training pixels", f"mean {_figures(description.mean)}, std {_figures(description.std)} (in [0, 1])")
    out.print(facts)
    made = table(">label", "class", *(f">{split}" for split in description.counts))
    for label, name in enumerate(description.class_names):
        made.add_row(str(label), cell(name), *(f"{counts[label]:,}" for counts in description.counts.values()))
    made.add_section()
    made.add_row("", "all", *(f"{sum(counts):,}" for counts in description.counts.values()))
    out.print(made)
    if description.samples:
        hint(f"samples drawn to {description.samples}")


def _figures(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.4f}" for value in values)


def document(description: Description) -> dict[str, Any]:
    """The description for `--json`."""
    names = description.class_names
    return {
        "name": description.name,
        "title": description.title,
        "place": description.location,
        "digest": description.digest,
        "image_shape": description.image_shape,
        "class_names": names,
        "counts": {split: dict(zip(names, counts, strict=True)) for split, counts in description.counts.items()},
        "mean": description.mean,
        "std": description.std,
        "samples": description.samples,
    }
