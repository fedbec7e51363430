"""How a reproduction is shown: what was recorded, how to get there, what differs here, whether the figures agree."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvexp.events import EpochEnded, Observed
from cvexp.jobs.reproduce import NONE, Reproduction
from cvexp.redaction import without_credentials
from cvexp.report.terminal import cell, console, hint, say, seconds, table
from cvexp.training.repetition import Check

SHOWN = 12
"""Files and figures in a list."""


def progress(event: Observed) -> None:
    """Show an epoch of the second training on stderr."""
    if isinstance(event, EpochEnded):
        metrics, timing = event.metrics, event.metrics.timing
        hint(
            f"epoch {metrics.epoch}  train loss {metrics.train.loss:.5f}"
            f"  {metrics.held_out_name} acc {metrics.held_out.metrics.accuracy:.2%}"
            f"  {seconds(timing.train_seconds + timing.evaluate_seconds)}"
        )


def show(result: Reproduction) -> None:
    """Print it on stdout."""
    for name, value in _rows(result):  # no table: it would cut commands and paths
        say(f"{name:<11}{value}")
    _show_differences(result)
    if result.check is not None:
        _show_check(result.check)
    elif result.other_data:
        say("not trained again: the data here are others, so that no figure can agree", "bold")
    hint(result.note)


def _rows(result: Reproduction) -> Iterator[tuple[str, str]]:
    """What was recorded, by name."""
    run, threads = result.run, result.run.tags.get("cvexp.threads", "unknown")
    yield "run", f"{run.name} ({run.run_id})"
    yield "typed", result.command
    yield "alone", result.equivalent
    yield "commit", result.commit or "none: it was trained outside a git repository"
    yield from _change_rows(result)
    yield "versions", ", ".join(f"{name} {version}" for name, version in result.versions.items() if version)
    yield "data", f"{result.config.dataset}, digest {result.data}"
    yield "device", f"{run.tags.get('cvexp.device_name', 'unknown')}, threads {threads}"


def _change_rows(result: Reproduction) -> Iterator[tuple[str, str]]:
    """The uncommitted changes, and how to apply them."""
    changes = result.changes
    if changes is None:
        known = {"false": NONE, "true": "some, which were not kept", "unknown": "unknown: git cannot tell safely"}
        if result.commit:
            yield "changes", known.get(result.dirty, "unknown")
        return
    yield "changes", f"git apply {shlex.quote(_near(result.patch))}" if result.patch else f"{NONE} that are kept"
    if changes.left_out:
        yield "left out", _listed([f"{path} ({reason})" for path, reason in changes.left_out.items()])
    if changes.untracked:
        yield "untracked", _listed(list(changes.untracked))


def _near(path: str) -> str:
    """A path relative to the working folder, where it is below that."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _show_differences(result: Reproduction) -> None:
    if not result.differences:
        say(
            "here     code, versions, device and data are the same"
            if not result.not_compared
            else "here     nothing differs"
        )
    else:
        made = table("differs", "recorded", "here")
        for one in result.differences[:SHOWN]:
            made.add_row(cell(one.name), cell(one.recorded), cell(one.here))
        console().print(made)
        if len(result.differences) > SHOWN:
            say(f"and {len(result.differences) - SHOWN} more: see --json")
    for line in result.not_compared:
        say(f"not compared: {line}")


def _show_check(check: Check) -> None:
    """The figures that are not the same, and the verdict in words."""
    differing = [figure for figure in check.figures if not figure.equal]
    if differing:
        made = table("metric", ">epoch", ">recorded", ">now")
        for figure in differing[-SHOWN:]:
            made.add_row(cell(figure.metric), f"{figure.epoch}", f"{figure.recorded:.9g}", f"{figure.now:.9g}")
        console().print(made)
    say(verdict(check), "bold")


def verdict(check: Check) -> str:
    """Whether the figures agree, as a sentence."""
    n = len(check.figures)
    weights = {True: " and the weights", False: "", None: ""}[check.same_weights]
    if check.bit_for_bit:
        return f"agrees bit for bit: {n} figures{weights}"
    n_off = sum(not figure.equal for figure in check.figures)
    off = f"{n_off} of {n} figures differ" if n_off else "the figures are equal, and the weights are not"
    accuracy, noise = check.test_accuracy, check.noise
    if noise is None:
        return f"DOES NOT AGREE: {off}; with the same code, versions, device and data they are equal bit for bit"
    basis = f"measured on {noise.n} repeats" if noise.n else "assumed, as this recipe has fewer than 3 repeats here"
    change = f"test accuracy {accuracy.recorded:.2%} is now {accuracy.now:.2%}"
    allowed = f"two trainings of the recipe may be {100 * noise.allowance:.2f} points apart ({basis})"
    return f"{'agrees within seed noise' if check.agrees else 'DOES NOT AGREE'}: {change}; {allowed}"


def document(result: Reproduction) -> dict[str, Any]:
    """The result for `--json`."""
    changes, check = result.changes, result.check
    return {
        "run_id": result.run.run_id,
        "run_name": result.run.name,
        "command": result.command,
        "equivalent_command": result.equivalent,
        "settings": result.run.settings,
        "commit": result.commit or None,
        "dirty": result.dirty or None,
        "patch": without_credentials(result.patch) or None,
        "changed_files": sorted({*changes.files, *changes.left_out}) if changes else [],
        "left_out": dict(changes.left_out) if changes else {},
        "untracked": list(changes.untracked) if changes else [],
        "versions": dict(result.versions),
        "data": {"dataset": result.config.dataset, "digest": result.data},
        "device": result.run.tags.get("cvexp.device_name"),
        "threads": result.run.tags.get("cvexp.threads"),
        "differences": [{"name": one.name, "recorded": one.recorded, "here": one.here} for one in result.differences],
        "not_compared": list(result.not_compared),
        "check": None if check is None else _check_document(check),
        "note": result.note,
    }


def _check_document(check: Check) -> dict[str, Any]:
    noise = check.noise
    return {
        "agrees": check.agrees,
        "bit_for_bit": check.bit_for_bit,
        "required": "bit for bit" if check.exact else "within seed noise",
        "seed_noise": None if noise is None else {"allowance": noise.allowance, "n_repeats": noise.n},
        "same_weights": check.same_weights,
        "figures": [
            {"metric": one.metric, "epoch": one.epoch, "recorded": one.recorded, "now": one.now, "equal": one.equal}
            for one in check.figures
        ],
        "text": verdict(check),
    }
