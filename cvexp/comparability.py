"""When figures of two runs may be ranked: times under equal conditions, accuracies on the same test images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.runs import RunSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Everything besides the model that decides how long training takes, or how many images it saw.

    Times of two runs may be ranked only when all of this is equal. What cvexp derives from the model, such as its
    memory format, is no condition: `threads` is the requested number, or the name of the rule and its maximum.
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

    @property
    def key(self) -> str:
        """Ten hexadecimal digits that are equal exactly when the conditions are."""
        return digest(asdict(self))

    def to_json(self) -> str:
        """The conditions as canonical JSON, so that two runs' differences can be named."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


def digest(conditions: Mapping[str, object]) -> str:
    """Ten hexadecimal digits that identify `conditions`."""
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:10]


def train_split(*, val_split: str, limit: str, split_seed: str, train_images: int) -> str:
    """Which of the published training images a run was trained on, in words, from its settings as text.

    The seed is named only where it matters: where a validation part was cut off or `limit` left images out.
    """
    chosen = [f"val {val_split}"] if float(val_split) else []
    chosen += [f"limit {limit}"] if limit == str(train_images) else []
    return ", ".join([*chosen, f"seed {split_seed}"]) if chosen else "none"


TEST_SET = "cvexp.test_set"
"""The tag that identifies a run's test images; see `test_set`."""


def test_set(dataset_digest: str, *, limit: object, split_seed: object) -> str:
    """Identifies test images: the dataset's digest and, where `limit` left images out, how they were drawn."""
    return dataset_digest if limit in (None, "none") else f"{dataset_digest},limit={limit},split_seed={split_seed}"


def test_set_labels(runs: Sequence[RunSummary]) -> dict[str, str]:
    """A label for each test set of `runs`: the dataset's name, or its digest where two contents share a name.

    Returns:
        Labels such as `digits` and `digits,limit=300,split_seed=7`, by test set. The seed is named where it tells
        two sets apart.
    """
    parts = {run.test_set: run.test_set.split(",") for run in runs}
    names = {run.test_set: run.params.get("dataset", "unknown") for run in reversed(runs)}
    contents: dict[str, set[str]] = {}
    for identity, (digest, *_) in parts.items():
        contents.setdefault(names[identity], set()).add(digest)
    first = {i: names[i] if len(contents[names[i]]) == 1 else parts[i][0] for i in parts}
    short = {i: ",".join([first[i], *parts[i][1:2]]) for i in parts}
    unique = list(short.values())
    return {i: short[i] if unique.count(short[i]) == 1 else ",".join([first[i], *parts[i][1:]]) for i in parts}


def condition_groups(runs: Sequence[RunSummary]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Give every set of conditions a letter, in order of appearance, and say in what they differ."""
    letters: dict[str, str] = {}
    conditions: dict[str, dict[str, object]] = {}
    groups = []
    for run in runs:
        letter = letters.setdefault(run.comparability_key, group_label(len(letters)))
        conditions.setdefault(letter, run.conditions)
        groups.append(letter)
    if len(letters) <= 1:
        return tuple(groups), {}
    names = sorted({name for one in conditions.values() for name in one})
    differing = [name for name in names if len({str(one.get(name)) for one in conditions.values()}) > 1]
    return tuple(groups), {
        letter: ", ".join(f"{name.replace('_', ' ')} {one.get(name, 'unknown')}" for name in differing)
        for letter, one in conditions.items()
    }


def group_label(n: int) -> str:
    """The n-th of a, b, … z, aa, ab, … zz, aaa, … in that order."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    letters = ""
    n += 1
    while n:
        n, k = divmod(n - 1, len(alphabet))
        letters = alphabet[k] + letters
    return letters
