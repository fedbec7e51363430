from __future__ import annotations

import os

import pytest
import torch

from cvexp import device
from cvexp.device import GeneratorStates, choose, seed_everything, threads
from cvexp.errors import DeviceError

HERE = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))]


@pytest.fixture
def with_gpus(monkeypatch):
    """Make torch believe in so many CUDA devices, and in MPS or not."""

    def pretend(n, *, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU number {index}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


def test_the_cpu_is_always_there_and_bears_a_name():
    device = choose("cpu")
    assert device.torch == torch.device("cpu")
    assert 1 <= device.threads <= torch.get_num_threads()
    assert device.name.endswith(" CPUs)")
    assert device.name == choose("cpu").name


@pytest.mark.parametrize(
    ("n_gpus", "mps", "name", "chosen"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda:0"),
        (2, False, "cpu", "cpu"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_the_asked_for_device_is_chosen_where_it_exists(with_gpus, n_gpus, mps, name, chosen):
    with_gpus(n_gpus, mps=mps)
    device = choose(name)
    assert device.torch == torch.device(chosen)
    if device.torch.type == "cuda":
        assert device.name == f"GPU number {device.torch.index}"


@pytest.mark.parametrize(
    ("n_gpus", "name"), [(0, "cuda"), (0, "cuda:0"), (0, "cuda:7"), (1, "cuda:1"), (2, "cuda:7"), (0, "mps")]
)
def test_an_absent_device_is_refused_and_the_way_out_named(with_gpus, n_gpus, name):
    with_gpus(n_gpus)
    with pytest.raises(DeviceError) as caught:
        choose(name)
    complaint, hint = caught.value.lines()
    assert repr(name) in complaint
    assert "--device cpu" in hint


def test_a_number_too_high_is_told_which_ones_there_are(with_gpus):
    with_gpus(2)
    with pytest.raises(DeviceError, match="cuda:0 to cuda:1"):
        choose("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cpu:0", "auto:1", "mps:0", "cuda:", "cuda:x", "cuda:-1", " cpu"])
def test_nonsense_is_refused_and_the_forms_named(with_gpus, name):
    with_gpus(4, mps=True)
    with pytest.raises(DeviceError, match="unknown device") as caught:
        choose(name)
    assert caught.value.hints == ("valid: auto, cpu, cuda, cuda:N, mps",)


def test_the_clock_never_runs_backwards():
    device = choose("cpu")
    readings = [device.clock() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


@pytest.mark.parametrize("name", HERE)
def test_one_seed_gives_one_sequence(name):
    device = choose(name).torch
    seed_everything(5)
    first = torch.rand(4, device=device)
    assert not torch.equal(torch.rand(4, device=device), first)
    seed_everything(5)
    assert torch.equal(torch.rand(4, device=device), first)


@pytest.mark.parametrize("name", HERE)
def test_restored_generators_draw_again_what_followed_the_capture(name):
    device = choose(name).torch
    seed_everything(5)
    torch.rand(3, device=device)
    states = GeneratorStates.capture(device)
    following = torch.rand(4), torch.rand(4, device=device)
    seed_everything(99)
    torch.rand(7, device=device)
    states.restore(device)
    again = torch.rand(4), torch.rand(4, device=device)
    assert all(torch.equal(one, other) for one, other in zip(following, again, strict=True))


def test_a_captured_state_does_not_move_with_the_generator():
    seed_everything(5)
    states = GeneratorStates.capture(torch.device("cpu"))
    torch.rand(4)
    assert not torch.equal(states.cpu, torch.get_rng_state())
    assert states.device is None


def test_keeping_freed_pages_is_done_where_there_is_glibc_and_harmless_elsewhere(monkeypatch):
    import ctypes

    assert device.keep_freed_pages() in (True, False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert device.keep_freed_pages() is False


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Give this process an affinity, and files of a system whose control groups limit it."""

    def limit(files, *, affinity=8):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        monkeypatch.setattr(device, "ROOT", tmp_path, raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(affinity)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        with threads(16):  # what torch would take
            return choose("cpu")

    return limit


V2, V1 = "0::/", "4:memory:/\n3:cpu,cpuacct:/docker/x\n0::/"
QUOTAS = {
    "none": ({}, 8),
    "two CPUs": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
    "no limit": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
    "more than the affinity": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "3200000 100000"}, 8),
    "one and a half": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "150000 100000"}, 1),
    "a tenth": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "10000 100000"}, 1),
    "of a group above": (
        {
            "proc/self/cgroup": "0::/user.slice/job",
            "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
        },
        3,
    ),
    "of version 1": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "400000",
            "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
        },
        4,
    ),
    "of version 1, seen from inside": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2,
    ),
    "version 1 without a limit": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        8,
    ),
    "what is no number": ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "some"}, 8),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_threads_are_no_more_than_the_cpus_that_affinity_and_quota_leave(limited, name):
    files, expected = QUOTAS[name]
    chosen = limited(files)
    assert chosen.threads == expected
    assert chosen.name.endswith(f"({expected} CPUs)")


def test_threads_are_no_more_than_torch_would_take(limited):
    limited({})
    with threads(3):
        assert choose("cpu").threads == 3
        assert choose("cpu").name.endswith("(8 CPUs)")


def test_an_evaluation_outside_a_training_takes_no_more_threads_either(limited, monkeypatch):
    from cvexp.data.dataset import Split
    from cvexp.data.transforms import Transform
    from cvexp.inference.evaluate import evaluate

    limited({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "200000 100000"})
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    seen = []
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    split = Split(images=torch.zeros(5, 1, 2, 2, dtype=torch.uint8), labels=torch.zeros(5, dtype=torch.int64))
    with threads(16):
        evaluate(model, split, transform=Transform(), class_names="ab", batch_size=5)
    assert seen == [2]
