"""The Markdown table that stands at the top of a run's page in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.results import Metric
from cvexp.text import markdown

if TYPE_CHECKING:
    from cvexp.results import Evaluation, TrainResult


def description(result: TrainResult) -> str:
    """A finished run in one short table, figures with their units."""
    metrics = result.metrics()
    config = result.config
    rows = {
        "model": f"{config.model}, {result.size.parameters:,} parameters",
        "dataset": config.dataset,
        **({} if result.evaluation is None else _tested(result.evaluation)),
        "training": f"{config.epochs} epochs in {result.timing.train_seconds:.1f} s, "
        f"{metrics[Metric.IMAGES_PER_SECOND]:,.0f} images/s",
        "device": f"{result.device}: {result.device_name}",
    }
    rows |= {name: text for name, text in (("busy machine", result.busy), ("stopped", result.stopped)) if text}
    if Metric.VAL_ACCURACY in metrics:
        rows["validation accuracy"] = f"{metrics[Metric.VAL_ACCURACY]:.2%}"
    table = "\n".join(f"| {name} | {markdown(value)} |" for name, value in rows.items())
    return f"| | |\n|---|---|\n{table}\n"


def _tested(evaluation: Evaluation) -> dict[str, str]:
    figures = evaluation.metrics
    found = {"test accuracy": f"{figures.accuracy:.2%}", "test loss": f"{figures.loss:.5f}"}
    if evaluation.is_imbalanced:
        found |= {"balanced accuracy": f"{figures.balanced_accuracy:.2%}", "macro F1": f"{figures.macro_f1:.4f}"}
    return found
