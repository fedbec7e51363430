"""Two trained models on the same images: a statement about these weights and new images, not about recipes."""

from __future__ import annotations

import math

from scipy.special import bdtr, ndtri

from cvexp.errors import InputError


def mcnemar_midp(b: int, c: int) -> float:
    """Two-sided mid-p value of McNemar's exact test: `2 P(X <= min(b, c)) - P(X = min(b, c))`, X binomial(b + c, 1/2).

    1 when b = c, no disagreement included. Less conservative than the exact test, and keeps its level in practice.
    Source: Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91.

    Args:
        b: Images that only the first model classifies correctly.
        c: Images that only the second model classifies correctly.
    """
    _check(b, c, b + c)
    if b == c:
        return 1.0
    fewer, n = min(b, c), b + c
    return float(bdtr(fewer, n, 0.5) + (bdtr(fewer - 1, n, 0.5) if fewer else 0.0))


def agresti_min(b: int, c: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of accuracies `(b - c) / n`: Wald's, half an image added to each of four cells.

    Limits stay within [-1, 1]. Source: Agresti & Min 2005, Stat. Med. 24:729.

    Args:
        b: Images that only the first model classifies correctly.
        c: Images that only the second model classifies correctly.
        n: All images, at least b + c and 1.
        confidence: In (0, 1).
    """
    _check(b, c, n)
    total, discordant, excess = n + 2, b + c + 1, b - c
    half = float(ndtri((1 + confidence) / 2)) * math.sqrt(discordant - excess**2 / total) / total
    return max(-1.0, excess / total - half), min(1.0, excess / total + half)


def _check(b: int, c: int, n: int) -> None:
    if b < 0 or c < 0 or b + c > n:
        raise InputError(f"expected counts of images with b + c <= n, got b = {b}, c = {c}, n = {n}")
