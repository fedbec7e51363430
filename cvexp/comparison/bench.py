"""The conditions of a measured latency, as the tag `cvexp.bench` of a run has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cvexp.comparability import group_label
from cvexp.results import Metric
from cvexp.runs import BENCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.runs import RunSummary

LONGEST_TAG = 8000


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConditions:
    """Where a latency was measured; `busy` says why it is not to be ranked, or is empty."""

    device: str
    threads: str
    busy: str = ""

    @property
    def words(self) -> str:
        """For a caption."""
        return f"{self.device}, {self.threads} thread{'' if self.threads == '1' else 's'}"


def bench_conditions(run: RunSummary) -> BenchConditions | None:
    """Where a run's latency was measured; None for a run without one. A tag that cannot be read counts as unknown."""
    if Metric.LATENCY_MS not in run.metrics:
        return None
    return _read(run.tags.get(BENCH, ""))


@lru_cache(maxsize=1024)
def _read(text: str) -> BenchConditions:
    try:
        found = json.loads(text) if len(text) <= LONGEST_TAG else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return BenchConditions(device="unknown device", threads="unknown")
    device = str(found.get("device_name") or found.get("device") or "unknown device")
    return BenchConditions(
        device=device, threads=str(found.get("threads", "unknown")), busy=str(found.get("busy") or "")
    )


def bench_letters(runs: Sequence[RunSummary]) -> tuple[dict[str, str], dict[str, str]]:
    """The capital letter of each benched run's conditions, by run id, and for each letter the conditions in words."""
    letters: dict[tuple[str, str], str] = {}
    words: dict[str, str] = {}
    by_run: dict[str, str] = {}
    for run in runs:
        if (one := bench_conditions(run)) is not None:
            letter = letters.setdefault((one.device, one.threads), group_label(len(letters)).upper())
            by_run[run.run_id], words[letter] = letter, one.words
    return by_run, words
