"""What a training leaves beside its weights, figures and records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError
from cvexp.runs import NOT_MADE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.config.data import DataConfig

LINGER_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What a training leaves beside its weights, figures and records; by default everything.

    Attributes:
        test: Evaluate the test split; without it there are no test figures and no records of its images.
        pictures: Draw the confusion matrix, the predictions and the curves.
        program: Log the model to MLflow, as a program that other software loads and serves.
    """

    test: bool = True
    pictures: bool = True
    program: bool = True

    @property
    def linger(self) -> float:
        """Seconds for which a run's records gather, to go out several in one call; 0 where each is shown at once."""
        return 0.0 if self.pictures or self.program else LINGER_SECONDS

    def check(self, config: DataConfig) -> None:
        """Raise ConfigError where the test split is the only one that is held out, and is to be left alone."""
        if not self.test and not config.val_split:
            raise ConfigError("without the test split nothing is held out to evaluate on", "give a --val-split")

    def tags(self, before: Mapping[str, str] | None = None) -> dict[str, str]:
        """Tags that name what is not made, none where all is; `before` are those of a run that is resumed."""
        missing = ", ".join(name for name, made in asdict(self).items() if not made)
        return {NOT_MADE: missing or "nothing"} if missing or NOT_MADE in (before or {}) else {}


EVERYTHING = Outputs()
LEAN = Outputs(pictures=False, program=False)


def outputs_of(tags: Mapping[str, str]) -> Outputs:
    """What a run with these tags leaves; names that are unknown here are left alone."""
    names = tags.get(NOT_MADE, "").split(", ")
    return Outputs(**{field.name: field.name not in names for field in fields(Outputs)})
