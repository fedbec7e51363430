"""Threads of a start beside other programs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cvexp.device import choose
from cvexp.engine.layout import choose_layout
from cvexp.machine import Occupancy

LARGE = nn.Conv2d(1, 64, 3)
SMALL = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 2))


def layout_of(model, *, taken, n_cpus=4, available=4, n_threads=None, device="cpu"):
    there = replace(choose("cpu"), torch=torch.device(device), threads=available)
    others = None if taken is None else Occupancy(taken=taken, n_cpus=n_cpus)
    return choose_layout(model, (1, 64, 64), batch_size=64, device=there, n_threads=n_threads, others=others)


@pytest.mark.parametrize("model", [LARGE, SMALL])
@pytest.mark.parametrize("taken", [0.0, 0.4])
def test_a_quiet_machine_changes_nothing(model, taken):
    assert layout_of(model, taken=taken) == layout_of(model, taken=None)
    assert layout_of(model, taken=None).policy == "by model size, at most 4"


def test_a_busy_machine_leaves_as_many_threads_as_there_are_free_cpus():
    layout = layout_of(LARGE, taken=2.7)
    assert (layout.threads, layout.evaluation_threads) == (1, 1)
    assert layout.policy == "by model size, at most 1 of 4 on a busy machine"
    assert layout.fewer == "other programs use 2.7 of 4 CPUs, so at most 1 of 4 threads are used"
    assert layout_of(LARGE, taken=1.2).threads == 3


def test_how_much_others_use_is_no_part_of_the_policy():
    assert layout_of(LARGE, taken=2.7).policy == layout_of(LARGE, taken=3.1).policy


def test_a_model_that_takes_one_thread_anyway_has_the_same_policy_as_others_beside_it():
    layout = layout_of(SMALL, taken=2.7)
    assert layout.threads == 1
    assert layout.policy == layout_of(LARGE, taken=2.7).policy


def test_threads_that_were_asked_for_are_obeyed():
    assert layout_of(LARGE, taken=4.0, n_threads=4) == layout_of(LARGE, taken=None, n_threads=4)


def test_a_quota_below_the_free_cpus_of_a_large_host_stays_the_limit():
    assert layout_of(LARGE, taken=30.0, n_cpus=64, available=2) == layout_of(LARGE, taken=None, available=2)


def test_another_device_is_not_affected():
    assert layout_of(LARGE, taken=4.0, device="meta") == layout_of(LARGE, taken=None, device="meta")
