"""Which of the groups of a table are more accurate than others, and whether that is more than luck, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.comparison.tables import PairVerdict
from cvexp.stats import contenders, pairwise_verdicts, population_text, verdict_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.evidence import Evidence
    from cvexp.comparison.request import Request
    from cvexp.stats import Arm, Contenders, Verdict
    from cvexp.stats.verdicts import Kind

SHOWN_PAIRS_OF_RUNS = 4
"""Sentences about two single runs, which say little about recipes."""

REVERSED: dict[Kind, Kind] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The groups that may be the best, the best against the others, and both in sentences."""

    contenders: tuple[str, ...] = ()
    verdicts: tuple[PairVerdict, ...] = ()
    sentences: tuple[str, ...] = ()


def judge(evidence: Evidence, *, request: Request, n_classes: int | None, n_others: int = 0) -> Judged:
    """Compare the most accurate arm with every other one, Holm's procedure covering all pairs.

    `n_others` counts the groups that are not compared, since only so many are.
    """
    arms = list(evidence.arms.values())
    if len(arms) < 2:  # noqa: PLR2004 - a comparison
        return Judged()
    by_names = {
        (pair.a, pair.b): pair.verdict for pair in pairwise_verdicts(arms, margin=request.margin, n_classes=n_classes)
    }
    found = contenders(arms, n_classes=n_classes)
    best = found.best or max(arms, key=lambda arm: arm.mean).name
    metric = request.quality("test")
    verdicts = tuple(_against(best, arm.name, by_names, metric=metric) for arm in arms if arm.name != best)
    sentences = _sentences(found, arms, verdicts)
    if n_others:
        sentences.append(f"{n_others:,} more are not compared with them; name the ones to compare.")
    return Judged(contenders=found.names, verdicts=verdicts, sentences=(*sentences, *_missing(evidence, arms, request)))


def _against(best: str, other: str, by_names: dict[tuple[str, str], Verdict], *, metric: str) -> PairVerdict:
    straight = (best, other) in by_names
    verdict = by_names[(best, other) if straight else (other, best)]
    names = (best, other) if straight else (other, best)
    speaks_of_recipes = verdict.kind != "these-two-only" and not any(verdict.n_collapsed)
    sign = 1 if straight else -1
    limits = [sign * limit for limit in (verdict.difference.low, verdict.difference.high) if limit is not None]
    low, high = sorted(limits) if limits else (None, None)
    return PairVerdict(
        a=best,
        b=other,
        metric=metric,
        difference=sign * verdict.difference.mean,
        low=low,
        high=high,
        verdict=verdict.kind if straight else REVERSED.get(verdict.kind, verdict.kind),
        n_seeds_needed=verdict.n_seeds_needed,
        text=_sentence(verdict_text(verdict, *names)),
        short_text=_sentence(verdict_text(verdict, *names, population=False)),
        population=population_text(verdict) if speaks_of_recipes else "",
        p=verdict.p_value if verdict.p_adjusted is None else verdict.p_adjusted,
    )


def _sentence(text: str) -> str:
    """With a full stop, and a capital letter where no name is the first word."""
    return f"{text[0].upper()}{text[1:]}." if text.startswith(("cannot", "these")) else f"{text}."


def _sentences(found: Contenders, arms: Sequence[Arm], verdicts: Sequence[PairVerdict]) -> list[str]:
    """The contender set, then the pairs; what the intervals are about is said once where it is the same for all."""
    pairs = [one for one in verdicts if one.verdict != "these-two-only"]
    texts, populations = [one.text for one in pairs], {one.population for one in pairs}
    first = ""
    if found.best is not None and len(arms) > 2:  # noqa: PLR2004 - of two, the verdict says it
        among = f"The most accurate one is among {', '.join(found.names)} (95%)"
        first = f"{found.best} is the most accurate" if len(found.names) == 1 else among
        if len(populations) == 1 and "" not in populations:
            texts = [one.short_text for one in pairs]
            first += f"; intervals: {populations.pop()}"
    runs = [one.text for one in verdicts if one.verdict == "these-two-only" and one.low is not None]
    more = len(runs) - SHOWN_PAIRS_OF_RUNS
    texts += runs[:SHOWN_PAIRS_OF_RUNS]
    return [
        *([f"{first}."] if first else []),
        *texts,
        *([f"{more} more pairs of single runs: see --json."] if more > 0 else []),
    ]


def _missing(evidence: Evidence, arms: Sequence[Arm], request: Request) -> list[str]:
    """What would make the verdicts better founded, and how to get it."""
    lines = [f"{reason}." for reason in evidence.reasons]
    if all(arm.n_seeds == 1 for arm in arms):
        lines.append("One run each says little about the recipes: add repeats with cvexp train MODEL --seeds 5.")
    if evidence.unrecorded and request.at == "last":
        how = "add them: cvexp evaluate RUN --store"
        lines.append(
            f"No per-image predictions of {evidence.names}: verdicts leave out the luck of the test images; {how}"
        )
    return lines
