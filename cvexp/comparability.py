"""When figures of two runs may be ranked: times under equal conditions, accuracies on the same test images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.runs import RunSummary


RECOMPUTED = "recomputed"
"""How the features of a frozen backbone come about: in every step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Everything besides the model that decides how long training takes; times may be ranked when all of it is equal.

    What cvexp derives from the model, such as its memory format, is no condition: `threads` is the requested number, or
    the name of the rule and its maximum.
    """

    device: str
    torch: str
    precision: str
    threads: str
    batch_size: int
    epochs: int
    dataset: str
    train_images: int
    split: str
    step_runner: str
    augment: str = "none"
    features: str = RECOMPUTED
    devices: int = 1

    @property
    def key(self) -> str:
        """See `digest`."""
        return digest(self._plain())

    def to_json(self) -> str:
        """The conditions as canonical JSON, so that two runs' differences can be named."""
        return json.dumps(self._plain(), sort_keys=True, allow_nan=False)

    def _plain(self) -> dict[str, object]:
        """Without those at their default, which earlier versions did not have: their runs keep their keys."""
        return {name: value for name, value in asdict(self).items() if value != LATER.get(name)}


LATER = {field.name: field.default for field in fields(Conditions) if field.default is not MISSING}
"""Conditions that earlier versions did not record, and what they are where nothing is said."""


def digest(conditions: Mapping[str, object]) -> str:
    """Ten hexadecimal digits that identify `conditions`."""
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:10]


def train_split(*, val_split: str, limit: str, split_seed: str, train_images: int) -> str:
    """Which of the published training images a run was trained on; the seed is named where any were left out."""
    chosen = [f"val {val_split}"] if float(val_split) else []
    chosen += [f"limit {limit}"] if limit == str(train_images) else []
    return ", ".join([*chosen, f"seed {split_seed}"]) if chosen else "none"


TEST_SET = "cvexp.test_set"
"""The tag that identifies a run's test images; see `test_set`."""


def test_set(dataset_digest: str, *, limit: object, split_seed: object) -> str:
    """Identifies test images: the dataset's digest and, where `limit` left images out, how they were drawn."""
    return dataset_digest if limit in (None, "none") else f"{dataset_digest},limit={limit},split_seed={split_seed}"


IMAGES = "cvexp.images."
"""What the key of the tag begins with that says which images a run's figures were measured on; see `images_key`."""

DECIDES_IMAGES = ("limit", "split_seed", "val_split")
"""The parameters that decide, with the dataset's content, which images those are."""


def images_key(test_set: str, params: Mapping[str, str]) -> str:
    """The key of a tag that runs share which were measured on the same test and validation images, split alike.

    It has a digest of those in the key and not in the value: a store's index finds the runs that lack a key, where
    it has to look at the value of each run to find those with another value.
    """
    parts = {"test_set": test_set, **{name: params.get(name, "none") for name in DECIDES_IMAGES}}
    return IMAGES + digest(parts)


def test_set_labels(runs: Sequence[RunSummary]) -> dict[str, str]:
    """Labels by test set, such as `digits` and `digits,limit=300,split_seed=7`.

    The dataset's digest stands for its name where two contents share it; the seed is named where it tells sets apart.
    """
    first_of: dict[str, RunSummary] = {}
    for run in runs:
        first_of.setdefault(run.test_set, run)
    parts = {identity: identity.split(",") for identity in first_of}
    names = {identity: run.params.get("dataset", "unknown") for identity, run in first_of.items()}
    contents: dict[str, set[str]] = {}
    for identity, (digest, *_) in parts.items():
        contents.setdefault(names[identity], set()).add(digest)
    first = {i: names[i] if len(contents[names[i]]) == 1 else parts[i][0] for i in parts}
    short = {i: ",".join([first[i], *parts[i][1:2]]) for i in parts}
    unique = list(short.values())
    return {i: short[i] if unique.count(short[i]) == 1 else ",".join([first[i], *parts[i][1:]]) for i in parts}


def condition_groups(runs: Sequence[RunSummary]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The letter of each run's conditions, in order of appearance, and for each letter what sets it apart, in words."""
    letters: dict[str, str] = {}
    keys = [run.comparability_key for run in runs]
    for key in dict.fromkeys(keys):
        letters[key] = group_label(len(letters))
    groups = tuple(letters[key] for key in keys)
    if len(letters) <= 1:
        return groups, {}
    conditions = {letter: run.conditions for letter, run in zip(groups, runs, strict=True)}
    names = sorted({name for one in conditions.values() for name in one})
    differing = [name for name in names if len({_of(one, name) for one in conditions.values()}) > 1]
    return groups, {
        letter: ", ".join(f"{name.replace('_', ' ')} {_of(one, name)}" for name in differing)
        for letter, one in conditions.items()
    }


def _of(conditions: Mapping[str, object], name: str) -> str:
    return str(conditions.get(name, LATER.get(name, "unknown")))


def group_label(n: int) -> str:
    """The n-th of a, b, … z, aa, ab, … zz, aaa, … in that order."""
    rest, k = divmod(n, len(ascii_lowercase))
    return (group_label(rest - 1) if rest else "") + ascii_lowercase[k]
