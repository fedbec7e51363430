"""How `cvexp train` ends: one run or several repeats, shown while they train and printed at the end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cvexp.cli.output import present
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.model import names_code
from cvexp.config.option import settings_of
from cvexp.config.rehearsal import Rehearsal
from cvexp.errors import ConfigError, CvexpError, DeliveryError
from cvexp.runs import EFFECTIVE, ID_DIGITS, shortest_selector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from cvexp.cli.flags import Given
    from cvexp.cli.output import Report
    from cvexp.config import RunConfig
    from cvexp.jobs.repeats import Plan
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings

ALLOWED_WITH_RESUME = {
    *("model", *EFFECTIVE, *CheckpointPolicy.__dataclass_fields__),
    *("resume", "bench", "data_dir", "tracking_uri", "experiment", "as_json"),
}


def check_flags(given: Given, seeds: str | None) -> None:
    """Refuse flags that would be ignored beside others.

    A resumed run keeps its settings; one that is typed again would be ignored, or make it another run. A list of seeds
    leaves nothing to `--seed`.
    """
    for name, flag in given.flags.items():
        if "resume" in given.flags and name not in ALLOWED_WITH_RESUME:
            remedies = {"workers": "give the command that began the seeds again"}
            remedy = remedies.get(name, "a resumed run keeps its settings")
            raise ConfigError(f"{flag} cannot be given with --resume", remedy)
    if "take_over" in given.flags and "resume" not in given.flags:
        raise ConfigError("--take-over goes with --resume", "name the run: cvexp train --resume RUN --take-over")
    first = next((given.flags[name] for name in settings_of(Rehearsal) if name in given.flags), None)
    for name in ("seeds", "workers", "bench", "name", "experiment", "tracking_uri", "print_config"):
        if first is not None and name in given.flags:
            raise ConfigError(f"{given.flags[name]} cannot be given with {first}", "no run is made")
    if "workers" in given.flags and seeds is None:
        raise ConfigError("--workers goes with --seeds", "one run trains in one process: leave --workers out")
    if seeds is not None and "," in seeds and "seed" in given.flags:
        raise ConfigError("--seed cannot be given with a list of --seeds", "the list names every seed")


def train_one(
    start: Callable[..., TrainResult], store: StoreSettings, keywords: Mapping[str, Any], *, bench: bool, as_json: bool
) -> None:
    """Train one run by calling `start` with `keywords`, time it where `bench` asks for it, and print the result."""
    from cvexp.report import train as report

    with report.TrainConsole() as observer:
        result = start(**keywords, observer=observer)
    # A factory is code: whoever typed it has to name it again.
    factory = ("--model", result.config.model) if names_code(result.config.model) else ()
    evaluate = store.command("evaluate", shortest_selector(result.run_id, result.run_name), *factory)
    then = (evaluate, store.command("compare"), store.command("ui"))
    with _bench([result.run_id], result.config, store, keywords, report, wanted=bench) as whole:
        present(result, whole, as_json=as_json, then=then)
        _check_delivered(result.undelivered, f"run {result.run_id[:ID_DIGITS]}", result.trouble, store)


def train_repeats(
    planned: Plan, keywords: Mapping[str, Any], *, n_workers: int | None, bench: bool, as_json: bool
) -> None:
    """Train what the plan lacks, with `keywords` and `bench` as for `train_one`, and print all of its runs."""
    from cvexp.jobs.repeats import run
    from cvexp.jobs.standing import judged
    from cvexp.report import repeats as report
    from cvexp.report.workers import WorkersConsole

    store = planned.settings
    shown: dict[str, Any] = {"histories": as_json}
    if n_workers in (None, 1):
        with report.PlanConsole(planned.steps, started=keywords["started"]) as one:
            shown |= {"observer": one, "on_skip": one.skipped, "on_end": one.ended}
            result = run(planned, **keywords, **shown)
    else:
        with WorkersConsole(planned.steps, n_workers=n_workers) as several:
            shown |= {"on_skip": several.skipped, "on_event": several.happened}
            result = run(planned, **keywords, **shown, n_workers=n_workers)
    run_ids = [one.run.run_id for one in result.runs]
    with _bench(run_ids, result.config, store, keywords, report, wanted=bench) as whole:
        result = judged(result, store)
        present(result, whole, as_json=as_json, then=(store.command("compare"), store.command("ui")))
        _check_delivered(result.undelivered, "these runs", result.trouble, store)


@contextlib.contextmanager
def _bench(
    run_ids: Sequence[str],
    config: RunConfig,
    store: StoreSettings,
    keywords: Mapping[str, Any],
    report: Report[Any],
    *,
    wanted: bool,
) -> Iterator[Report[Any]]:
    """Time the trained runs and give the report of both; what goes wrong is raised after the block, which prints it."""
    if not wanted:
        yield report
        return
    from cvexp.cli.bench import WithBench, bench_trained, check_logged

    try:
        benched = bench_trained(run_ids, config, store, data_dir=keywords["data_dir"])
    except CvexpError as error:
        yield report
        raise error from None
    yield WithBench(report, benched)
    check_logged(benched)


def _check_delivered(n_records: int, runs: str, trouble: str, store: StoreSettings) -> None:
    """Where the store does not know all of it, say so and leave with its exit code."""
    if n_records:
        raise DeliveryError(
            f"{n_records} records of {runs} wait to be delivered: {trouble}",
            f"nothing is lost; deliver them: {store.command('sync')}",
        )
