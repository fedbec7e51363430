"""The errors cvexp raises on purpose: what was wrong, the value seen, and what to type next.

A message has at most three lines. Only the command line turns an error into text and an exit code.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class CvexpError(Exception):
    """An expected failure, reported without a traceback: what was wrong, and at most two hints, each one line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *hints: str) -> None:
        super().__init__(what)
        self.what, self.hints = what, hints

    def lines(self) -> list[str]:
        """The message in at most three lines: the error, then the hints."""
        return [" ".join(line.split()) for line in (self.what, *self.hints[:2])]


class InputError(CvexpError):
    """An argument, file, dataset, model or run that cannot be used as given. Exit code 2."""

    exit_code = 2


class ConfigError(InputError):
    """A setting with a wrong name, type or range."""


class DatasetError(InputError):
    """A dataset that is unknown, missing, damaged or does not fit."""


class ModelError(InputError):
    """A model or model argument that is unknown or does not fit the data."""


class DeviceError(InputError):
    """A device that this machine does not have."""


class StoreError(InputError):
    """A tracking store that cannot be opened, read or written."""


class UnreachableStoreError(StoreError):
    """A tracking store that cannot be reached for now; worth a retry."""


class DeniedStoreError(StoreError):
    """A tracking store that asks for another name or password, or in which this user may not do this."""


class StorageError(CvexpError):
    """The local disk is full or cannot be written."""


class TrainingError(CvexpError):
    """Training that cannot continue."""


class DeliveryError(CvexpError):
    """Everything was done, but records still wait to be delivered to the tracking store. Exit code 3."""

    exit_code = 3


class RunError(InputError):
    """A run that does not exist, is ambiguous, or lacks what was asked of it."""


class WeightsError(InputError):
    """Weights that are missing, damaged, unsafe or do not fit."""


class GateError(CvexpError):
    """A check the user asked for did not hold. Exit code 4."""

    exit_code = 4


class Interrupted(KeyboardInterrupt):
    """The process was told to stop by a signal, whose number plus 128 is the exit code; hints as for CvexpError."""

    def __init__(self, signum: int, *hints: str) -> None:
        super().__init__(signum)
        self.signum, self.hints = signum, hints


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for a mistyped name, such as `did you mean 'tinyvgg'? valid: linear, mlp, tinyvgg`."""
    names = list(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return (f"did you mean '{close[0]}'? " if close else "") + "valid: " + ", ".join(names)


def closest(name: str, valid: Iterable[str], package: str) -> str:
    """A hint for a mistyped name of a library that has too many to list."""
    close = difflib.get_close_matches(name, list(valid), n=3, cutoff=0.5)
    if not close:
        return "see which there are: cvexp models --all PATTERN"
    return f"did you mean {' or '.join(f'{package}:{one}' for one in close)}?"
