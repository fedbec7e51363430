"""What a checkpoint writes, however many epochs came before it, and what is left of it after a crash or damage."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from cvexp import checkpoint, files
from cvexp.errors import StorageError, WeightsError
from cvexp.results import ClassMetrics, EpochMetrics, EpochTiming, Evaluation, SplitMetrics
from cvexp.training.checkpoints import Checkpoint, Checkpoints

N_IMAGES, N_STEPS = 2000, 300


def epoch(number):
    generator = np.random.default_rng(number)
    figures = SplitMetrics(loss=1 / number, accuracy=0.5, n_images=N_IMAGES)
    evaluation = Evaluation(
        metrics=figures,
        per_class=tuple(ClassMetrics(name=n, precision=0.1, recall=0.2, f1=0.3, support=9) for n in "abc"),
        confusion=generator.integers(0, 9, (3, 3)),
        predictions=generator.integers(0, 3, N_IMAGES),
    )
    return EpochMetrics(
        epoch=number,
        train=figures,
        step_losses=generator.random(N_STEPS, dtype=np.float32),
        held_out=evaluation,
        held_out_name="test",
        timing=EpochTiming(train_seconds=0.1, evaluate_seconds=0.2, first_step_seconds=0.3),
    )


EPOCHS = [epoch(number) for number in range(1, 301)]


def after(n_epochs, step=0):
    fit = {"epoch": n_epochs + 1, "step": step, "model": {"weight": torch.full((50,), float(n_epochs))}}
    return Checkpoint(fit=fit, history=tuple(EPOCHS[:n_epochs]), seconds=1.0 * n_epochs)


def plain(history):
    """Comparable with `==`."""

    def listed(value):
        if isinstance(value, dict):
            return {key: listed(item) for key, item in value.items()}
        return value.tolist() if isinstance(value, np.ndarray) else value

    return [listed(asdict(one)) for one in history]


def saved(folder, *counts, keep=None):
    checkpoints = Checkpoints(folder, keep)
    for n_epochs in counts:
        checkpoints.save(after(n_epochs))
    return checkpoints


def newest(folder):
    return Checkpoints(folder, None).newest()


def bytes_in(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def torch_files(folder):
    return sorted(folder.rglob("epoch-*.pt"))


@pytest.mark.slow
def test_a_checkpoint_writes_as_many_bytes_after_300_epochs_as_after_5(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1000)
    grown = {}
    for n_epochs in range(1, 301):
        before = bytes_in(tmp_path) if n_epochs in (5, 300) else 0
        checkpoints.save(after(n_epochs))
        if n_epochs in (5, 300):
            grown[n_epochs] = bytes_in(tmp_path) - before
    assert grown[300] <= 1.05 * grown[5]
    state = newest(tmp_path)
    assert state.fit["epoch"] == 301
    assert plain(state.history) == plain(EPOCHS)


def test_every_kept_checkpoint_has_the_history_that_was_before_it(tmp_path):
    saved(tmp_path, 2, 3, 7, keep=9)
    for n_epochs, file in zip((7, 3, 2), reversed(torch_files(tmp_path)), strict=True):
        state = newest(tmp_path)
        assert (state.file, len(state.history)) == (file, n_epochs)
        assert plain(state.history) == plain(EPOCHS[:n_epochs])
        file.unlink()


def test_a_checkpoint_within_an_epoch_adds_nothing_to_the_history(tmp_path):
    checkpoints = Checkpoints(tmp_path, 9)
    checkpoints.save(after(1))
    checkpoints.save(after(1, step=7))
    state = newest(tmp_path)
    assert (state.fit["step"], plain(state.history)) == (7, plain(EPOCHS[:1]))


@pytest.mark.parametrize("call", range(4))
def test_a_write_that_fails_leaves_the_checkpoint_before_it_and_the_next_one_is_whole(tmp_path, monkeypatch, call):
    """Calls 0 and 1 flush the history and the checkpoint after it, 2 and 3 those of the next one."""
    calls = iter(range(100))
    real = files.os.fsync

    def fsync(descriptor):
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        real(descriptor)

    checkpoints = saved(tmp_path, 1)
    monkeypatch.setattr(files.os, "fsync", fsync)
    failed = []
    for n_epochs in (2, 3):
        try:
            checkpoints.save(after(n_epochs))
        except StorageError:
            failed.append(n_epochs)
            assert plain(newest(tmp_path).history) == plain(EPOCHS[: n_epochs - 1])
    assert len(failed) == 1
    monkeypatch.undo()
    checkpoints.save(after(4))
    assert plain(newest(tmp_path).history) == plain(EPOCHS[:4])


def test_a_damaged_newest_checkpoint_gives_way_and_what_is_saved_after_it_is_whole(tmp_path):
    saved(tmp_path, 1, 2)
    newest_file = torch_files(tmp_path)[-1]
    newest_file.write_bytes(newest_file.read_bytes()[:-9])
    resumed = newest(tmp_path)
    assert plain(resumed.history) == plain(EPOCHS[:1])
    checkpoints = Checkpoints(tmp_path, 9)
    checkpoints.resume_from(resumed)
    checkpoints.save(after(2))
    checkpoints.save(after(3))
    assert plain(newest(tmp_path).history) == plain(EPOCHS[:3])


def history_file(folder):
    (file,) = folder.rglob("history*")
    return file


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_history_whose_end_is_damaged_gives_way_to_the_checkpoint_before_it(tmp_path, damage):
    saved(tmp_path, 1, 2)
    file = history_file(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert plain(newest(tmp_path).history) == plain(EPOCHS[:1])


def test_what_a_crash_left_behind_the_history_is_not_read_and_is_written_over(tmp_path):
    saved(tmp_path, 1, 2)
    with history_file(tmp_path).open("ab") as stream:
        stream.write(b"half an epoch")
    resumed = newest(tmp_path)
    assert plain(resumed.history) == plain(EPOCHS[:2])
    checkpoints = Checkpoints(tmp_path, None)
    checkpoints.resume_from(resumed)
    checkpoints.save(after(3))
    assert b"half an epoch" not in history_file(tmp_path).read_bytes()
    assert plain(newest(tmp_path).history) == plain(EPOCHS[:3])


def test_a_history_that_is_missing_is_named(tmp_path):
    saved(tmp_path, 1, 2)
    file = history_file(tmp_path)
    file.unlink()
    with pytest.raises(WeightsError) as caught:
        newest(tmp_path)
    assert str(file) in caught.value.what


def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    state = {"fit": after(3).fit, "history": [], "seconds": 3.0}
    checkpoint.save_named(tmp_path / "checkpoints", "epoch-00004-step-00000000", state)
    with pytest.raises(WeightsError, match=r"not a checkpoint of this version of cvexp: .*epoch-00004") as caught:
        newest(tmp_path)
    assert caught.value.hints == ("start a new run",)
