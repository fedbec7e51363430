"""What a training leaves beside its weights, figures and records."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What a training leaves beside its weights, figures and records; by default everything.

    Attributes:
        test: Evaluate the test split; without it there are no test figures and no records of its images.
        pictures: Draw the confusion matrix, the predictions and the curves.
        program: Log the program that other software runs, where the run asks for one.
    """

    test: bool = True
    pictures: bool = True
    program: bool = True


EVERYTHING = Outputs()
