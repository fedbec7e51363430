"""A run as the store remembers it, and how to name one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cvexp.comparability import TEST_SET, digest, test_set, train_split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

SHOWN_ANYWAY = ("model", "dataset", "device")
EXPORT_SUFFIXES = {
    "state-dict": ".pt",
    "safetensors": ".safetensors",
    "onnx": ".onnx",
    "torch-export": ".pt2",
    "openvino": ".openvino",
    "executorch": ".pte",
}
"""Suffixes by export format (see `cvexp.export.formats`); an argument with such a suffix names a file, not a run."""

MODEL_URI = "models:/"
"""How the URI of a version in the model registry begins; see `cvexp.tracking.registry`."""

NAME_DIGITS = 6
"""Digits of a run's id in the name of a run that the user did not name."""

ID_DIGITS = 12
"""Digits of a run's id that are enough to name it in a command."""

EFFECTIVE = {"epochs": "cvexp.epochs", "max_time": "cvexp.max_time", "allow_nan": "cvexp.allow_nan"}
"""Settings that may change on resume, and the tags of their current values: MLflow's parameters are immutable."""

BENCH = "cvexp.bench"
"""The tag with the conditions of a run's `bench/` figures, as JSON."""

EXPORTS = "cvexp.exports"
"""The tag with the conditions of a run's `export/` figures, as JSON: an object for each kind of file."""

ASKED_EPOCHS = "cvexp.asked_epochs"
"""The tag with the epochs that were asked for, where fewer were trained because `max_time` had passed."""

BUSY = "cvexp.busy"
"""The tag that says in one line why a run's times are not to be ranked; only runs on a busy machine have it."""

RECIPE = "cvexp.recipe"
"""The tag with the digest of a run's configuration without its seed; see config.recipe."""

SEEDS = "cvexp.seeds"
"""The tag with the seeds of the repeats that a run is one of, as `--seeds` takes them."""

LEFT_OUT = "cvexp.unreadable_images"
"""The tag with the image files that were left out because they cannot be read: how many, and the first by name."""

READ_AHEAD = "cvexp.reading"
"""The tag that says so where the images are more than memory holds."""

UNLOGGED = "cvexp.unlogged"
"""The tag that says why a run has no logged model; only runs of a network that cannot be exported have it."""

BEST_EPOCH = "cvexp.best_epoch"
"""The tag with the epoch whose weights were tested and stored, of runs with `--keep-best`."""

FRONT = "cvexp.front"
"""The tag that says whether no other recipe beats a run's on every measure: "yes", or "no: beaten by NAME"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run as the store remembers it: `params` as first asked for (see `settings`), and the metrics' last values.

    `export` is empty, but for an exported file that `cvexp.comparison.exports` puts beside its run.
    """

    run_id: str
    name: str
    status: str
    experiment_id: str
    artifacts_uri: str
    started_at: datetime
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    export: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The effective settings: the parameters, and what was changed when the run was resumed."""
        changed = {name: self.tags[tag] for name, tag in EFFECTIVE.items() if tag in self.tags and name in self.params}
        return {**self.params, **changed}

    @property
    def asked(self) -> dict[str, str]:
        """`settings`, with the epochs that were asked for where `max_time` passed before their end."""
        return self.settings | ({"epochs": self.tags[ASKED_EPOCHS]} if self.tags.get(ASKED_EPOCHS) else {})

    @property
    def busy(self) -> str:
        """Why its training times are not to be ranked, in one line; empty for a run on a quiet machine."""
        return self.tags.get(BUSY, "")

    @property
    def recipe(self) -> str:
        """Equal for runs that differ in nothing but their seed; empty for runs from before it was recorded."""
        return self.tags.get(RECIPE, "")

    @property
    def conditions(self) -> dict[str, object]:
        """See `Conditions`; what earlier versions did not record is derived from tags and settings."""
        try:
            found = json.loads(self.tags.get("cvexp.conditions", "{}"))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        if found and "step_runner" not in found:
            found["step_runner"] = self.tags.get("cvexp.step_runner", "unknown").partition(" ")[0]
            settings = self.settings
            try:
                found["split"] = train_split(
                    val_split=f"{float(settings.get('val_split', '0')):g}",
                    limit=settings.get("limit", "none"),
                    split_seed=settings.get("split_seed", "unknown"),
                    train_images=int(found.get("train_images", 0)),
                )
            except (ValueError, TypeError):  # a store's content is untrusted
                found["split"] = "unknown"
        return found

    @property
    def comparability_key(self) -> str:
        """Equal for runs whose times may be ranked."""
        text = self.tags.get("cvexp.conditions", "")
        if '"step_runner"' in text and (known := _digest_of(text)):
            return known
        conditions = self.conditions
        return digest(conditions) if conditions else self.tags.get("cvexp.comparability_key", "")

    @property
    def test_set(self) -> str:
        """Identifies its test images; accuracies are comparable only where it is equal."""
        if TEST_SET in self.tags:
            return self.tags[TEST_SET]
        dataset = str(self.conditions.get("dataset") or self.params.get("dataset", "unknown"))
        return test_set(dataset, limit=self.params.get("limit"), split_seed=self.params.get("split_seed"))


@lru_cache(maxsize=1024)
def _digest_of(text: str) -> str:
    """The digest of complete conditions as their tag has them; empty for text that cannot be read.

    Most runs of a store share few of them.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return digest(found) if isinstance(found, dict) and "step_runner" in found else ""


def shortest_selector(run_id: str, name: str, *, unique: bool = False) -> str:
    """What to type for a run: its name where that means this run alone, else a part of its id.

    A name that ends in digits of the id means one run; so does one that the caller knows to be `unique`, unless it
    reads as a flag, a selector or an exported file.
    """
    misread = name.startswith(("@", "-", MODEL_URI)) or name.endswith(tuple(EXPORT_SUFFIXES.values()))
    if name.endswith(f"-{run_id[:NAME_DIGITS]}") or (unique and not misread):
        return name
    return run_id[:ID_DIGITS]


def differing_settings(runs: Sequence[RunSummary]) -> list[str]:
    """Names of the settings that are not the same for all runs; model, dataset and device are shown anyway.

    The digest of a file of weights stands for its content, and is left out where runs with weights differ in its name.
    """
    settings = [run.settings for run in runs]
    names = dict.fromkeys(name for one in settings for name in one if name not in SHOWN_ANYWAY)
    differing = [name for name in names if len({one.get(name) for one in settings}) > 1]
    return [name for name in differing if name != "weights_sha256" or "weights" not in differing]


def settings_of(run: RunSummary, names: Sequence[str]) -> str:
    """Some of a run's settings as one would type them."""
    settings = run.settings
    return " ".join(f"{name.removeprefix('model_args.')}={settings[name]}" for name in names if name in settings)
