"""`cvexp rm`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import ConfigError
from cvexp.runs import ID_DIGITS
from cvexp.settings import StoreSettings, store_settings

if TYPE_CHECKING:
    from cvexp.jobs.rm import Removal

N_NAMED = 3
"""Runs in the command that takes a removal back."""

_RUNS = "Runs, each by its id, a unique prefix of it, its name, @last or @best."
_WHERE = "Instead of names: the experiment's runs that MLflow's filter selects: 'params.model = \"tinyvgg\"'."
_GROUP = "Also the other seeds of each named run's recipe, and the runs whose parent it is."
_PURGE = "For good: with artifacts, logged models, checkpoints and records; runs in the trash too."
_YES = "Do it, and ask nothing."
_RESTORE = "Take the runs out of MLflow's trash instead."
_PROTECT = "Have this verb refuse to remove the runs from now on, or no longer; nothing is removed."


def rm(
    runs: Annotated[list[str] | None, typer.Argument(help=_RUNS, show_default=False)] = None,
    *,
    where: Annotated[str | None, typer.Option(help=_WHERE)] = None,
    group: Annotated[bool, typer.Option("--group", help=_GROUP)] = False,
    purge: Annotated[bool, typer.Option("--purge", help=_PURGE)] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
    restore: Annotated[bool, typer.Option("--restore", help=_RESTORE)] = False,
    protect: Annotated[bool | None, typer.Option("--protect/--unprotect", help=_PROTECT, show_default=False)] = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Remove runs, to MLflow's trash or for good, once you have seen which.

    Without --yes and without a terminal to ask on, they are listed and nothing is removed. Runs that are under way,
    protected or behind a registered version stay. A removal that was interrupted is finished by the same command.
    """
    from cvexp.jobs import rm as job
    from cvexp.report import rm as report

    settings = store_settings(tracking_uri, experiment)
    if restore or protect is not None:
        if restore + (protect is not None) > 1 or where or group or purge:
            what = "--restore, --protect and --unprotect take names of runs, and no other flag"
            raise ConfigError(what, "see: cvexp rm --help")
        if restore:
            changed = job.restore(_named(runs, "--restore"), settings)
        else:
            changed = job.protect(_named(runs, "--protect" if protect else "--unprotect"), settings, on=bool(protect))
        word = "restored" if restore else "protected" if protect else "no longer protected"
        present(changed, report.Changed(word), as_json=as_json)
        return
    wanted = job.Wanted(selectors=tuple(runs or ()), where=where, group=group, purge=purge)
    store, planned = job.plan(wanted, settings)
    if yes and planned.runs:
        present(job.carry_out(store, planned), report, as_json=as_json, then=_after(planned, settings))
        return
    present(planned, report, as_json=as_json)
    if planned.runs and not as_json and agreed("nothing was removed"):
        present(job.carry_out(store, planned), report, as_json=False, then=_after(planned, settings))


def _named(runs: list[str] | None, flag: str) -> list[str]:
    if not runs:
        raise ConfigError("no run is named", f"for example: cvexp rm {flag} RUN")
    return runs


def _after(planned: Removal, settings: StoreSettings) -> list[str]:
    """How to take back what was done, if anything can."""
    back = [one.run.run_id[:ID_DIGITS] for one in planned.runs[:N_NAMED]]
    return [] if planned.purge else [settings.command("rm", "--restore", *back)]


def agreed(nothing: str) -> bool:
    """Whether the user says yes to what was shown; where there is no terminal to ask on, say how to do it."""
    from cvexp.report.terminal import hint

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint(f"{nothing}; add --yes to do it")
        return False
    answer = typer.confirm("Do it?", default=False, err=True)
    if not answer:
        hint(nothing)
    return answer
