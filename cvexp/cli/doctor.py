"""`cvexp doctor`."""

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.settings import store_settings


def doctor(
    *, tracking_uri: options.TrackingUri = None, experiment: options.Experiment = None, as_json: options.Json = False
) -> None:
    """Say what is wrong with the store, the disk, the installation or the machine, and what to type about it.

    Nothing is written or changed. Exits with 4 if there is a problem; notes are worth knowing.
    """
    from cvexp.jobs.doctor import run
    from cvexp.report import doctor as report

    diagnosis = run(store_settings(tracking_uri, experiment))
    present(diagnosis, report, as_json=as_json)
    if n := diagnosis.n_problems:
        raise GateError(f"{n} problem{' was' if n == 1 else 's were'} found; see the lines that begin with 'problem'")
