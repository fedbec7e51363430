"""How datasets are shown."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from cvexp.jobs.data import Cleared, Decoded, Description, Duplicated, Files, Listed
from cvexp.report.terminal import cell, console, hint, say, shape, table
from cvexp.results import IMBALANCE

N_NAMED, N_IN_GROUP = 10, 4
"""Lines of each kind of finding, and images in one of them."""


def show_list(listed: Sequence[Listed], data_dir: str, decoded: Decoded | None) -> None:
    """Print every dataset with its size, classes, image shape and location, and what decoded images take."""
    made = table("dataset", ">train", ">test", ">classes", "image", "where")
    made.columns[0].no_wrap = True
    for item in listed:
        spec = item.spec
        figures = (f"{spec.n_train:,}", f"{spec.n_test:,}", str(len(spec.class_names)), shape(spec.image_shape))
        where = cell(item.location) if item.location else cell("not downloaded yet", "dim")
        made.add_row(cell(spec.name), *figures, where)
    console().print(made)
    hint(f"data directory: {data_dir}")
    if decoded is not None:
        sets = f"{decoded.n_sets:,} set{'' if decoded.n_sets == 1 else 's'}"
        hint(f"decoded images: {decoded.folder}: {sets}, {_bytes(decoded.n_bytes)} of at most {_bytes(decoded.limit)}")


def list_document(listed: Sequence[Listed], data_dir: str, decoded: Decoded | None) -> dict[str, Any]:
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
    return {"data_dir": data_dir, "datasets": datasets, "decoded": None if decoded is None else decoded._asdict()}


class Cache:
    """How `cvexp data --clear-cache` is shown."""

    @staticmethod
    def show(cleared: Cleared) -> None:
        """Print what was removed, and what stays."""
        sets = f"{cleared.n_sets:,} set{'' if cleared.n_sets == 1 else 's'}"
        stay = f"; {cleared.n_in_use:,} in use by other processes stay" if cleared.n_in_use else ""
        say(f"removed {sets} of decoded images, {_bytes(cleared.n_bytes)}, from {cleared.folder}{stay}")

    @staticmethod
    def document(cleared: Cleared) -> dict[str, Any]:
        """The numbers for `--json`."""
        return {"cleared": cleared._asdict()}


def show(description: Description) -> None:
    """Print one dataset's counts, shape, mean and standard deviation, and what is wrong with its images."""
    out = console()
    out.print(cell(f"{description.name}: {description.title}", "bold"), soft_wrap=True)
    facts = table("", "")
    facts.columns[1].overflow = "fold"  # paths are to be read in full
    facts.add_row("read from", cell(description.location))
    facts.add_row("verified content", cell(description.digest))
    made = f", made so by --resize {description.fitted}" if description.fitted else ""
    facts.add_row("image shape", f"{shape(description.image_shape)} (channels, height, width){made}")
    facts.add_row("training pixels", f"mean {_figures(description.mean)}, std {_figures(description.std)} (in [0, 1])")
    if description.files:
        _add_files(facts, description.files)
    facts.add_row("classes", _balance(description))
    facts.add_row("duplicates", _duplicate_counts(description))
    out.print(facts)
    counts = table(">label", "class", *(f">{split}" for split in description.counts))
    for label, name in enumerate(description.class_names):
        counts.add_row(str(label), cell(name), *(f"{counts_of[label]:,}" for counts_of in description.counts.values()))
    counts.add_section()
    counts.add_row("", "all", *(f"{sum(counts_of):,}" for counts_of in description.counts.values()))
    out.print(counts)
    for line in _warnings(description):
        say(line, "yellow")
    if description.samples:
        hint(f"samples drawn to {description.samples}")


def _add_files(facts: Table, files: Files) -> None:
    smallest, median, largest, total = map(_bytes, files.n_bytes)
    facts.add_row("files", f"{total}: {smallest} to {largest}, median {median}")
    sizes = ["x".join(map(str, size)) for size in files.sizes]
    facts.add_row("their images", f"{sizes[0]} to {sizes[2]} pixels, median {sizes[1]}")
    facts.add_row("their modes", cell(", ".join(f"{count:,} {mode}" for mode, count in files.modes.items())))
    if files.n_others:
        facts.add_row("other files", f"{files.n_others:,}, passed over")
    facts.add_row("decoded in", cell(f"{files.cache} ({_bytes(files.cache_bytes)})"))


def _bytes(count: int) -> str:
    """A number of bytes as people read it."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:  # noqa: PLR2004 - a prefix of the SI
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


def _balance(description: Description) -> str:
    counts = description.counts["train"]
    least, most = min(counts), max(counts)
    if most == least:
        return f"{len(counts)}, balanced: {most:,} training images each"
    times = f", {most / least:.1f} to 1" if least else ""
    return f"{len(counts)}, with {least:,} to {most:,} training images each{times}"


def _duplicate_counts(description: Description) -> str:
    """How many groups there are of each kind."""
    kinds = [one.kind for one in description.duplicates]
    near = f"near ones {description.near}" if description.near else f"{kinds.count('near'):,} of nearly equal ones"
    return f"groups of equal images: {kinds.count('exact'):,}; {near}"


def _warnings(description: Description) -> list[str]:
    """Unreadable files, duplicates across splits and classes, and others, the first of each by name."""
    lines = []
    unreadable = description.files.unreadable if description.files else ()
    lines += _listed("unreadable, left out", [f"{one.path}: {one.reason}" for one in unreadable])
    leaks = [one for one in description.duplicates if one.in_train_and_test]
    others = [one for one in description.duplicates if not one.in_train_and_test]
    lines += _listed("in train and in test, so that accuracy is optimistic", [_group(one) for one in leaks])
    lines += _listed("twice", [_group(one) for one in others])
    counts = description.counts["train"]
    if max(counts) >= IMBALANCE * min(counts):
        lines.append("classes differ in size: see --class-weights, --sampler and --monitor of cvexp train --help-all")
    return lines


def _listed(what: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"  and {len(items) - N_NAMED:,} more: --json names all"] if len(items) > N_NAMED else []
    return [f"{len(items):,} {what}:", *(f"  {item}" for item in items[:N_NAMED]), *more]


def _group(one: Duplicated) -> str:
    names = list(one.names[:N_IN_GROUP])
    more = f" and {len(one.names) - N_IN_GROUP:,} more" if len(one.names) > N_IN_GROUP else ""
    classes = ", of different classes" if one.across_classes else ""
    return f"{' = ' if one.kind == 'exact' else ' ~ '}".join(names) + more + classes


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
        "splits": {
            split: {"n": sum(counts), "per_class": dict(zip(names, counts, strict=True))}
            for split, counts in description.counts.items()
        },
        "resize": description.fitted or None,
        "unreadable": [one._asdict() for one in description.files.unreadable] if description.files else [],
        "duplicates": [
            {
                "paths": one.names,
                "kind": one.kind,
                "across_splits": one.across_splits,
                "across_classes": one.across_classes,
            }
            for one in description.duplicates
        ],
        "near_duplicates_skipped": description.near or None,
        "files": _files_document(description.files) if description.files else None,
    }


def _files_document(files: Files) -> dict[str, Any]:
    smallest, median, largest, total = files.n_bytes
    return {
        "others": files.n_others,
        "bytes": {"smallest": smallest, "median": median, "largest": largest, "total": total},
        "sizes": dict(zip(("smallest", "median", "largest"), files.sizes, strict=True)),
        "modes": files.modes,
        "cache": files.cache,
        "cache_bytes": files.cache_bytes,
    }
