"""Whether figures measured again are those that a run logged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LOSS_TOLERANCE = 1e-5
"""Nats. Batches of another size, or another count of threads, move the sum's last digits."""

ACCURACY_TOLERANCE = 1e-9


def agree(measured: Mapping[str, float], logged: Mapping[str, float]) -> bool | None:
    """Whether losses and accuracies equal the logged ones of the same keys within the tolerances.

    Two that are not finite agree; None where nothing was logged.
    """
    if not logged:
        return None
    tolerances = {key: ACCURACY_TOLERANCE if key.endswith("accuracy") else LOSS_TOLERANCE for key in logged}
    return all(
        abs(measured[key] - value) <= tolerances[key] if math.isfinite(value) else not math.isfinite(measured[key])
        for key, value in logged.items()
    )
