"""The few runs of a server's store among which the best is: the server sorts and filters, and sends one run a query.

A server takes two milliseconds for each run that it sends, and none of its filters says "or" or "distinct". So the
kinds of images are found one after the other: a run of none of the kinds known so far, until there is no such run.
Runs have a tag for their kind, with a key of its own (see `comparability.images_key`), since a database finds the runs
that lack a key by its index. Those of earlier versions do not; then it has to look at the values, which takes ten times
as long.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cvexp.comparability import TEST_SET, images_key
from cvexp.results import Metric, higher_is_better
from cvexp.runs import IMPORTED, SWEEP
from cvexp.tracking.best import fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cvexp.runs import RunSummary

    First = Callable[[Sequence[str], str | None], RunSummary | None]
    """The first run that fits all clauses in MLflow's order, or the most recently started one."""

    Kind = tuple[list[str], RunSummary]
    """The clauses that select the runs measured on the same images, and the latest of them."""

MAX_QUERIES = 200
"""A store whose runs differ in so many ways is read as a whole."""

ELIGIBLE = (
    [f"tags.`{IMPORTED}` IS NULL", f"tags.`{SWEEP}` IS NULL"],
    [f"tags.`{IMPORTED}` IS NULL", f"tags.`{SWEEP}` IS NOT NULL", f"metrics.`{Metric.TEST_ACCURACY}` >= 0"],
)
"""The clauses of runs of no sweep, and of those of sweeps with test figures; see `cvexp.runs.is_trial`."""

SPLIT = ("val_split", "split_seed")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


class TooManyError(Exception):
    """The queries do not lead to an end, or a value cannot be quoted in MLflow's filter language."""


def leaders(first: First, wanted: dict[str, str], metric: str, *, clauses: Sequence[str]) -> list[RunSummary] | None:
    """Of the runs that fit the clauses, one for each kind of images that they were measured on, and the best of each.

    `wanted` and `metric` are what a selector names (see tracking.best). The most recently started come first. None
    where all runs have to be read instead.
    """
    asked = 0

    def counted(more: Sequence[str], order: str | None = None) -> RunSummary | None:
        nonlocal asked
        asked += 1
        if asked > MAX_QUERIES:
            raise TooManyError
        return first([*clauses, *more], order)

    try:
        found = _leaders(counted, wanted, metric)
    except TooManyError:
        return None
    return None if found is None else sorted(found, key=lambda run: (-run.started_at.timestamp(), run.run_id))


def _leaders(first: First, wanted: dict[str, str], metric: str) -> list[RunSummary] | None:
    scopes = [[*scope, *runs] for scope in _scopes(wanted) for runs in ELIGIBLE]
    kinds = _kinds(first, scopes)
    if kinds is None:
        kinds = _kinds_by_value(first, scopes, wanted, metric)
    if kinds is None:
        return None
    if wanted:
        meant = fitting([run for _, run in kinds], wanted)
        kinds = [(clauses, run) for clauses, run in kinds if run in meant]
        if not kinds:  # the complaint names what there is
            known = _kinds(first, [[]])
            return [run for _, run in (_parts(first, [], [f"tags.`{TEST_SET}`"]) if known is None else known)]
    best = _tops(first, [clauses for clauses, _ in kinds], metric or Metric.VAL_ACCURACY)
    if not metric and not best:
        best = _tops(first, [clauses for clauses, _ in kinds], Metric.TEST_ACCURACY)
    return list({run.run_id: run for run in (*(run for _, run in kinds), *best)}.values())


def _kinds(first: First, scopes: Sequence[list[str]]) -> list[Kind] | None:
    """The kinds of images in each scope, by the runs' tags; None where a run has not the tag that it should have."""
    kinds: list[Kind] = []
    for scope in scopes:
        known: dict[str, RunSummary] = {}
        while (run := first([*scope, *(f"tags.`{key}` IS NULL" for key in known)], None)) is not None:
            key = images_key(run.test_set, run.params)
            if key not in run.tags:
                return None
            known[key] = run
        alone = len(known) == 1  # then no clause is needed
        kinds += [(scope if alone else [*scope, f"tags.`{key}` IS NOT NULL"], run) for key, run in known.items()]
    return kinds


def _kinds_by_value(
    first: First, scopes: Sequence[list[str]], wanted: dict[str, str], metric: str
) -> list[Kind] | None:
    """The kinds of images in each scope, by the values that runs of all versions have; None where one has none."""
    if first([f"tags.`{TEST_SET}` IS NULL"], None) is not None:
        return None  # written before this tag was: their images follow from other things
    names = [name for name in SPLIT if name in wanted or not metric or metric.startswith("val/")]
    names += ["limit"] if "limit" in wanted else []
    keys = [f"tags.`{TEST_SET}`", *(f"params.`{name}`" for name in names)]
    return [kind for scope in scopes for kind in _parts(first, scope, keys)]


def _scopes(wanted: dict[str, str]) -> Iterator[list[str]]:
    """The clauses that select the runs on the dataset that is wanted: by its name, or by its digest."""
    if "dataset" not in wanted:
        yield []
        return
    name = wanted["dataset"]
    yield [f"params.`dataset` = {_quoted(name)}"]
    if _DIGEST.fullmatch(name):
        yield [f"tags.`{TEST_SET}` LIKE '{name}%'"]


def _parts(
    first: First, clauses: list[str], keys: Sequence[str], latest: RunSummary | None = None
) -> Iterator[tuple[list[str], RunSummary]]:
    """The combinations of values of the keys among the runs that fit the clauses: what selects each, and its latest.

    A key with one value alone adds no clause. `latest` is the latest run of all, where it is known.
    """
    run = latest or first(clauses, None)
    if not keys or run is None:
        yield from [] if run is None else [(clauses, run)]
        return
    key, *rest = keys
    excluded: list[str] = []
    only = True
    while run is not None:
        value = _quoted(_value(run, key))
        excluded.append(f"{key} != {value}")
        other = first([*clauses, *excluded], None)
        only = only and other is None
        yield from _parts(first, clauses if only else [*clauses, f"{key} = {value}"], rest, run)
        run = other


def _value(run: RunSummary, key: str) -> str:
    kind, _, name = key.partition(".")
    found = {"tags": run.tags, "params": run.params}[kind].get(name.strip("`"))
    if found is None:
        raise TooManyError
    return found


def _tops(first: First, kinds: Sequence[list[str]], metric: str) -> list[RunSummary]:
    """The best run of each kind by a metric, the latest among equals; of kinds where none has it, none."""
    order = f"metrics.`{metric}` {'DESC' if higher_is_better(metric) else 'ASC'}"
    found = [run for clauses in kinds if (run := first(clauses, order)) is not None]
    return [run for run in found if metric in run.metrics]


def _quoted(text: str) -> str:
    """The text in MLflow's filter language; raises TooManyError where that cannot quote it."""
    quote = "'" if '"' in text else '"'
    if quote in text or not text.isprintable() or "\\" in text:
        raise TooManyError
    return f"{quote}{text}{quote}"
