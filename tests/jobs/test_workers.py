"""Where runs are trained several at once: what is refused, and what must be delivered after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cvexp.config import run_config
from cvexp.errors import ConfigError, DeliveryError
from cvexp.events import RunStarted
from cvexp.jobs.workers import check_delivered, check_workers
from cvexp.settings import RUNS, store_settings
from cvexp.tracking.journal import Journal
from cvexp.tracking.local import address_of

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.config import RunConfig


def config(**settings: object) -> RunConfig:
    return run_config({"model": "linear", "dataset": "digits", "device": "cpu", **settings})


def test_records_that_wait_are_an_error_of_their_own_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = store_settings("http://127.0.0.1:9", "Default")  # nothing listens there
    run_id = "0" * 32
    folder = settings.state_dir / RUNS / run_id
    folder.mkdir(parents=True)
    address = address_of(settings, state_dir=settings.state_dir)
    begun = RunStarted(model="linear", tags={}, local_id=run_id, store=address, experiment="Default")
    Journal(folder).append(begun, key="run", at=1)
    check_delivered(["1" * 32], settings)
    with pytest.raises(DeliveryError, match="records wait for the store") as waiting:
        check_delivered([run_id], settings)
    assert waiting.value.exit_code == 3
    assert waiting.value.hints == (
        "deliver them when it answers: cvexp sync --tracking-uri http://127.0.0.1:9 --experiment Default",
    )


@pytest.mark.parametrize(
    ("n_workers", "settings", "complaint"),
    [
        (0, {}, "--workers 0: a worker needs a CPU"),
        (-2, {}, "--workers -2: a worker needs a CPU"),
        (5, {}, "--workers 5: a worker needs a CPU, and 4 may be used here"),
        (4, {"threads": 2}, "--workers 4 with threads 2 takes more than the 4 CPUs here"),
        (2, {"device": "cuda:1"}, "--workers 2 with device cuda:1: each worker is given a GPU of its own"),
    ],
)
def test_workers_that_would_take_each_others_cpus_or_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, n_workers: int, settings: dict[str, object], complaint: str
) -> None:
    monkeypatch.setattr("cvexp.device.usable_cpus", lambda: 4)
    with pytest.raises(ConfigError, match=complaint):
        check_workers(n_workers, [config(**settings)])


def test_workers_may_take_all_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvexp.device.usable_cpus", lambda: 4)
    check_workers(4, [config(), config(threads=1)])
    check_workers(1, [config(threads=64, device="cuda:1")])
