"""A run as the store remembers it, and how to name one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
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

LAUNCH = "cvexp.launch"
"""The tag that the processes of a training on several devices find their run by when they are restarted."""

LEFT_OUT = "cvexp.unreadable_images"
"""The tag with the image files that were left out because they cannot be read: how many, and the first by name."""

READ_AHEAD = "cvexp.reading"
"""The tag that says so where the images are more than memory holds."""

UNLOGGED = "cvexp.unlogged"
"""The tag that says why a run has no logged model: the network cannot be exported, or it was left out."""

NOT_MADE = "cvexp.not_made"
"""The tag that names what a run was told to leave out; see training.outputs."""

CONTINUES = "cvexp.continues"
"""The tag with the id of the run that this one continues, from a checkpoint that another machine had written."""

BEST_EPOCH = "cvexp.best_epoch"
"""The tag with the epoch whose weights were tested and stored, of runs with `--keep-best`."""

VERSIONS = "cvexp.versions"
"""The tag with the versions of packages, as JSON: one tag, since a store takes longer for each that a run has."""

FRONT = "cvexp.front"
"""The tag that says whether no other recipe beats a run's on every measure: "yes", or "no: beaten by NAME"."""

TRIAL, ATTEMPT = "cvexp.trial", "cvexp.attempt"
"""Tags of runs that an executor's worker trained: the trial's key, and the number of the attempt at it."""

SWEEP, TRIAL_NUMBER = "cvexp.sweep", "cvexp.trial_number"
"""Tags of a sweep's runs: the sweep's digest, and the number of the draw."""

SWEEP_FILE = "cvexp.sweep_file"
"""The tag of a sweep's runs with the name of the experiment file."""

CONFIRMS = "cvexp.confirms"
"""The tag with the key of the trial that a run repeats with a fresh seed."""

PRUNED = "cvexp.pruned"
"""The tag of a trial that was stopped early, with the epoch it was stopped after."""

PROTECTED = "cvexp.protected"
"""The tag of runs that `cvexp rm` does not remove."""

IMPORTED, IMPORTED_FROM = "cvexp.imported", "cvexp.imported_from"
"""Tags of runs that `cvexp import` read: the digest of what was read of each, and the file's name."""


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

    def is_as(self, other: RunSummary | None) -> bool:
        """Whether the other is the same in every field; a metric that is NaN in both is the same."""
        if other is None or self.metrics.keys() != other.metrics.keys():
            return False
        pairs = ((value, other.metrics[key]) for key, value in self.metrics.items())
        same = all(a == b or (a != a and b != b) for a, b in pairs)  # noqa: PLR0124 - only NaN is not itself
        return same and replace(self, metrics={}) == replace(other, metrics={})

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
        if (known := self.tags.get(TEST_SET)) is not None:
            return known
        dataset = str(self.conditions.get("dataset") or self.params.get("dataset", "unknown"))
        return test_set(dataset, limit=self.params.get("limit"), split_seed=self.params.get("split_seed"))


def is_trial(run: RunSummary) -> bool:
    """Whether a run is a trial of a sweep without figures on the test images; it is compared where it is named only."""
    return SWEEP in run.tags and not any(key.startswith("test/") for key in run.metrics)


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


def versions_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The versions of packages that a run recorded, by name; earlier versions of cvexp wrote a tag for each."""
    one_by_one = {key.removeprefix(f"{VERSIONS}."): tags[key] for key in tags if key.startswith(f"{VERSIONS}.")}
    return dict(sorted({**one_by_one, **_unpacked(tags.get(VERSIONS, ""))}.items()))


@lru_cache(maxsize=1024)
def _unpacked(text: str) -> dict[str, str]:
    """The texts of a JSON object by name; none where it cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # a store's content is untrusted
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


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
