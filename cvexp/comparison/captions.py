"""What has to be known to read a table of groups, in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cvexp.comparison.figures import figure_of
from cvexp.comparison.groups import best_first
from cvexp.comparison.request import BEST, LAST
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.analysis import Analysis
    from cvexp.comparison.groups import Group
    from cvexp.comparison.request import Request
    from cvexp.comparison.tables import Front

SHOWN_CONDITIONS = 26


def captions_of(groups: Sequence[Group], front: Front, analysis: Analysis, *, n_left_out: int) -> tuple[str, ...]:
    """How to read the figures of a table with these groups, and what the letters behind times mean."""
    at, columns = analysis.request.at, analysis.columns
    lines = []
    if n_left_out:
        lines.append(
            f"{len(groups)} of {len(groups) + n_left_out:,} shown; see others with --where, --last, or --format csv"
        )
    if at != LAST:
        when = "the epoch with each run's best held-out accuracy, which flatters" if at == BEST else f"epoch {at}"
        lines.append(f"Accuracies and losses are those after {when}; times and sizes are of whole runs.")
    facts = {
        "Entries with a dot are exported files, timed by cvexp export; verdicts are on the runs alone.": any(
            group.first.export for group in groups
        ),
        "± is half of the 95% t interval of the mean over n seeds; accuracies with it are in percent.": any(
            group.n > 1 for group in groups
        ),
        "A collapsed seed learnt nothing: the mean is over all seeds, and no interval describes them.": any(
            group.n_collapsed for group in groups
        ),
    }
    lines += [text for text, holds in facts.items() if holds]
    lines += _balance_captions(groups, analysis.request)
    lines += _front_captions(front)
    if any(group.is_busy(key) for group in groups for key in columns if group.figure(key)):
        lines.append("! was measured on a busy machine: not ranked, and not on the front.")
    if again := sum(group.n_again for group in groups):
        runs = f"{again:,} more run{' is' if again == 1 else 's are'}"
        lines.append(f"{runs} of seeds that are counted already; the latest of each counts (--no-group lists all).")
    for kind, words, what, which in (
        ("training", analysis.differences, "Times", "letter"),
        ("bench", analysis.bench_differences, "Latencies", "capital letter"),
    ):
        if letters := _letters_of(groups, columns, kind):
            lines.append(f"{what} may be ranked within one {which} only; the letters differ in:")
            lines += [f"  {letter}: {words.get(letter, 'unknown')}" for letter in letters[:SHOWN_CONDITIONS]]
        if len(letters) > SHOWN_CONDITIONS:
            lines.append(f"  and {len(letters) - SHOWN_CONDITIONS} more (--json has all)")
    return tuple(lines)


def _balance_captions(groups: Sequence[Group], request: Request) -> list[str]:
    """What the table is by; by accuracy, who is ahead where each class counts the same, if that is another one."""
    if request.is_balanced:
        return ["By balanced accuracy, the mean recall of the classes: verdicts, front, and what is bold."]
    finished = [group for group in groups if group.is_finished and group.figure(Metric.TEST_ACCURACY) is not None]
    balanced = {group.label: group.mean(Metric.TEST_BALANCED_ACCURACY) or 0.0 for group in finished}
    if not all(math.isfinite(mean) and mean for mean in balanced.values()) or not balanced:
        return []  # some run is of a version that did not measure it
    first, ahead = best_first(finished, Metric.TEST_ACCURACY)[0].label, max(balanced, key=lambda label: balanced[label])
    if balanced[ahead] - balanced[first] <= request.margin:
        return []
    means = f"{balanced[ahead]:.1%}, and {first} has {balanced[first]:.1%}"
    return [f"Where each class counts the same, {ahead} is ahead with {means}: see --by balanced-accuracy."]


def _front_captions(front: Front) -> list[str]:
    statuses = {standing.status for standing in front.standings.values()}
    if not statuses - {"unplaced"}:
        return []
    names = " and ".join(figure_of(key).header for key in front.objectives)
    lines = [
        f"* is on the Pareto front of {names}: no other is shown to be better on one without being worse on another."
    ]
    if "undecided" in statuses:
        lines.append("(*) is beaten in the means only, which the seeds and images do not settle.")
    if "off" in statuses:
        lines.append("Dimmed and without a star: another one is better (--json names it).")
    reasons = dict.fromkeys(standing.reason for standing in front.standings.values() if standing.reason)
    return [*lines, *(f"Not placed: {reason}." for reason in list(reasons)[:3])]


def _letters_of(groups: Sequence[Group], columns: Sequence[str], kind: str) -> list[str]:
    """The letters of one kind of conditions, where the groups shown have several."""
    timed = [key for key in columns if figure_of(key).conditions == kind]
    found = {group.conditions_of(key): None for group in groups for key in timed if group.figure(key)}
    letters = [letter for letter in found if letter]
    return letters if len(letters) > 1 else []
