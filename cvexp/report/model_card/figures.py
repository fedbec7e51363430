"""The figures of a model, its limits and its files, as a model card has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.report.model_card.markup import block, code, plain, rows_of, table
from cvexp.results import is_imbalanced
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.jobs.model_card import CardFile, Measured, ModelFacts

MOST_CLASSES = 100
"""Of the table; the others are in `cvexp evaluate --json`."""


def figures(facts: ModelFacts) -> str:
    """Accuracy, loss and calibration with their intervals, the classes, and the most confused pairs."""
    measured = facts.measured
    if measured is None:
        return f"Not measured image by image: {plain(facts.unmeasured)}."
    between = f"95%: {measured.low:.2%} to {measured.high:.2%}; these weights, new images"
    rows = {
        "accuracy": f"{measured.accuracy:.2%} ({between})",
        **_over_classes(measured),
        "cross-entropy": f"{measured.loss:.4f} nats",
        "Brier score": f"{measured.brier:.4f}",
    }
    if (found := measured.calibration) is not None:
        between = f"95%: {found.low:.2%} to {found.high:.2%}; {len(found.bins)} bins of equally many images"
        rows["expected calibration error"] = f"{found.error:.2%} ({between})"
        rows["mean confidence"] = f"{found.confidence:.2%}"
    if facts.seeds is not None:
        over = facts.seeds.accuracy
        between = "" if over.low is None or over.high is None else f" (95%: {over.low:.2%} to {over.high:.2%})"
        rows["accuracy over seeds"] = f"{over.mean:.2%}{between}, {over.n} seeds, retrained on the same images"
    shown = measured.per_class[:MOST_CLASSES]
    classes = table(
        ("class", "precision", "recall", "F1", "images"),
        [(plain(c.name), f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", f"{c.support:,}") for c in shown],
    )
    left_out = len(measured.per_class) - len(shown)
    more = f"\n\n{left_out:,} more classes are in `cvexp evaluate --json`." if left_out else ""
    return f"{rows_of(rows)}\n\n### By class\n\n{classes}{more}{_pairs(measured)}"


def _over_classes(measured: Measured) -> dict[str, str]:
    """Figures in which each class counts the same, where classes differ in size."""
    if not is_imbalanced(measured.per_class):
        return {}
    return {
        "balanced accuracy": f"{measured.balanced_accuracy:.2%}, the mean recall of the classes",
        "macro F1": f"{measured.macro_f1:.4f}",
    }


def _pairs(measured: Measured) -> str:
    if not measured.pairs:
        return ""
    lines = [
        f"- {plain(p.truth)} taken for {plain(p.taken_for)}: {p.count:,} images, {p.share:.1%} of the class"
        for p in measured.pairs
    ]
    return "\n\n### Most confused\n\n" + "\n".join(lines)


def limits(facts: ModelFacts) -> str:
    """What was not measured, and what the figures do not say."""
    settings, measured = facts.card.settings, facts.measured
    dataset = plain(facts.card.spec.dataset)
    lines = [
        f"Figures are of the test images of {dataset}. Images of another camera or background were not measured.",
        "It names one of its classes for every image, also for one that shows none of them.",
        "It has seen the training images of this dataset: figures on those say nothing.",
    ]
    if facts.seeds is None:
        lines.append("One run: how much another seed would change the figures was not measured.")
    elif facts.seeds.n_collapsed:
        n_collapsed, n_seeds = facts.seeds.n_collapsed, len(facts.seeds.seeds)
        lines.append(f"{n_collapsed} of {n_seeds} seeds of this recipe collapsed to chance level.")
    lines += _measured_limits(measured)
    if settings.get("val_split", "0") in ("0", "0.0"):
        lines.append("No validation images were set aside: if it was chosen by accuracy, it was on these test images.")
    if settings.get("weights", "none") != "none":
        lines.append("It started from weights that were trained elsewhere, on images that may be like the test images.")
    timed = [one for one in facts.files if one.latency_ms is not None]
    if not (timed or facts.latency):
        lines.append("Its latency was not measured.")
    elif facts.latency:
        busy = ", which was busy meanwhile" if facts.bench_busy else ""
        lines.append(f"Latency holds for one machine: {plain(facts.latency)}{busy}.")
    if facts.busy:
        lines.append(f"Training times are not to be ranked: {plain(facts.busy)}.")
    return "\n".join(f"- {line}" for line in lines)


def _measured_limits(measured: Measured | None) -> list[str]:
    if measured is None:
        return ["Figures by class and calibration were not measured."]
    lines = []
    if is_imbalanced(measured.per_class):
        lines.append("Classes differ in size: its accuracy says most of the large ones; see the balanced accuracy.")
    if measured.calibration is not None and measured.calibration.low > 0:
        over = measured.calibration.confidence > measured.calibration.accuracy
        lines.append(f"Its probabilities are {'over' if over else 'under'}confident: see the calibration error.")
    return lines


def _share(value: float) -> str:
    """A share in percent that reads as 100 only where it is."""
    return "100%" if value == 1 else f"{min(value, 0.9999):.2%}"


def files_of(files: Sequence[CardFile]) -> str:
    """Each file with its size, its digest and its proof."""

    def of(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    rows = [
        (
            code(one.name),
            plain(one.kind),
            f"{one.n_bytes:,}",
            "-" if one.top1_agreement is None else _share(one.top1_agreement),
            of(one.max_logit_difference, ".2g"),
            of(one.accuracy, ".2%"),
            of(one.latency_ms, ".3g"),
        )
        for one in files
    ]
    header = ("file", "format", "bytes", "same class", "logits differ by", "accuracy", "ms for one image")
    digests = block("text", "\n".join(f"{one.sha256}  {one.name}" for one in files))
    made = f"Compared with the run's own model on all test images by cvexp {VERSION}; - was not measured. SHA-256:"
    return f"{table(header, rows)}\n\n{made}\n\n{digests}"
