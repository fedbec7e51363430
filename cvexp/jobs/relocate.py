"""Rewrite where a local store that was moved has its artifacts: planned first, then done and looked at again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, StoreError
from cvexp.tracking import relocation

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Relocated:
    """What is to be rewritten or was, and the backup of the database that was made before."""

    planned: relocation.Relocation
    done: bool = False
    backup: Path | None = None


def plan(settings: StoreSettings, *, old: Path | None = None, new: Path | None = None) -> Relocated:
    """What would be rewritten: what was recorded below `old`, or, without both, what is found to be moved.

    Raises:
        InputError: Only one is named, `new` is no folder, or the store cannot be read or is no local one.
    """
    if (old is None) != (new is None):
        given, missing = ("--from", "--to") if new is None else ("--to", "--from")
        raise ConfigError(f"{given} is given without {missing}", "name both, or neither")
    if new is not None and not new.is_dir():
        raise ConfigError(f"--to {new}: there is no such folder", "name the folder that has mlruns now")
    return Relocated(planned=relocation.plan(settings, old=old, new=new))


def carry_out(settings: StoreSettings, found: Relocated) -> Relocated:
    """Rewrite what was planned.

    Raises:
        StoreError: A run is being written, or the store cannot be; then nothing was changed.
    """
    planned = found.planned
    backup = relocation.relocate(settings, planned)
    left = relocation.plan(settings, old=None, new=None)
    if left.changes:
        raise StoreError(
            f"{left.changes[0].old} is still not there", f"the database as it was: {backup}; see: cvexp doctor"
        )
    return Relocated(planned=planned, done=True, backup=backup)
