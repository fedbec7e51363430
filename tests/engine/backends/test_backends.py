"""Every step runner against the eager one: the same losses, the same weights, or a clean refusal."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.batches import ResidentSource
from cvexp.data.dataset import Dataset, Split
from cvexp.data.transforms import Transform
from cvexp.device import choose, seed_everything, threads
from cvexp.engine.backends import scripted
from cvexp.engine.backends.captured import CapturedSteps
from cvexp.engine.backends.choice import choose_runner
from cvexp.engine.backends.cuda_graph import CudaGraphSteps
from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.fit import Fit
from cvexp.engine.layout import apply_layout, choose_layout
from cvexp.engine.state import TrainState, Unsupported
from cvexp.errors import ConfigError
from cvexp.models.registry import build, find_entry
from cvexp.optim.rules import rule_for

SHAPE = (1, 12, 12)


def noise(n_images, shape=SHAPE, n_classes=4):
    generator = torch.Generator().manual_seed(n_images)
    return Split(
        images=torch.randint(0, 256, (n_images, *shape), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, n_classes, (n_images,), generator=generator),
    )


def dataset(n_images=203, shape=SHAPE):
    test = noise(50, shape)
    return Dataset(
        name="noise",
        class_names=tuple("abcd"),
        train=noise(n_images, shape),
        val=None,
        test=test,
        digest="0",
        place="-",
    )


def regular():
    """Dropout draws from the generator in every step, and batch normalisation writes to its buffers."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(600, 4)
    )


def model_of(name):
    seed_everything(42)
    if name == "regular":
        return regular()
    return build(find_entry(name), image_shape=SHAPE, n_classes=4, hidden_units=6, model_args={})


def state_of(model, optimizer="sgd", lr=0.1):
    return TrainState(model, rule_for(run_config({"model": "linear", "optimizer": optimizer})), lr=lr)


def source_of(n_images):
    return ResidentSource(noise(n_images), Transform())


def trained(name, step, **settings):
    model = model_of(name)
    config = run_config({"model": "linear", "epochs": 3, "batch_size": 32, "step": step, **settings})
    with threads(1):
        history = list(Fit(model, dataset(), config=config, device=choose("cpu")))
    return history, model.state_dict()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg", "regular"])
def test_captured_steps_are_the_eager_ones_bit_for_bit(name, optimizer):
    eager, expected = trained(name, "eager", optimizer=optimizer, lr=0.01)
    captured, found = trained(name, "captured", optimizer=optimizer, lr=0.01)
    for ours, theirs in zip(captured, eager, strict=True):
        assert ours.step_losses.tolist() == theirs.step_losses.tolist()
        assert (ours.train, ours.held_out.metrics) == (theirs.train, theirs.held_out.metrics)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    start = model_of(name).state_dict()
    assert all(not torch.equal(found[key], start[key]) for key in start if start[key].is_floating_point())


@pytest.mark.parametrize("name", ["linear", "regular"])
def test_momentum_and_weight_decay_are_captured_too(name):
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "lr": 0.01}
    (eager, expected), (captured, found), (plain, _) = (
        trained(name, step, **settings)
        for step, settings in (("eager", options), ("captured", options), ("eager", {"lr": 0.01}))
    )
    assert [epoch.train for epoch in captured] == [epoch.train for epoch in eager] != [epoch.train for epoch in plain]
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_last_short_batch_is_run():
    history, _ = trained("linear", "captured", batch_size=50)
    assert len(history[0].step_losses) == 5
    assert history[0].train.n_images == 203


@pytest.mark.parametrize("batch_size", [1, 203, 500])
def test_any_batch_size_will_do(batch_size):
    eager, _ = trained("linear", "eager", batch_size=batch_size)
    captured, _ = trained("linear", "captured", batch_size=batch_size)
    assert captured[-1].train == eager[-1].train


class TakesBranches(nn.Module):
    """Looks at values to decide what to do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(144, 4)

    def forward(self, images):
        logits = self.layer(images.flatten(1))
        return logits if logits.sum() > 0 else -logits


class DrawsInPython(nn.Module):
    """Does not do the same in every step."""

    def __init__(self):
        super().__init__()
        self.layer, self.n_calls = nn.Linear(144, 4), 0

    def forward(self, images):
        self.n_calls += 1
        return self.layer(images.flatten(1)) * self.n_calls


@pytest.mark.parametrize("kind", [TakesBranches, DrawsInPython])
def test_what_cannot_be_replayed_is_declined_and_trained_eagerly(kind):
    config = run_config({"model": "linear", "batch_size": 32})
    chosen = choose_runner(state_of(kind()), source_of(64), config)
    assert chosen.runner.name == "eager"
    assert chosen.reason.startswith("not captured: ")
    with pytest.raises(ConfigError, match="--step captured cannot be used"):
        choose_runner(state_of(kind()), source_of(64), run_config({"model": "linear", "step": "captured"}))


def test_hooks_are_declined():
    model = model_of("linear")
    model[1].register_forward_hook(lambda *_: None)
    with pytest.raises(Unsupported, match="hooks"):
        CapturedSteps(state_of(model), source_of(64), batch_size=32)


def test_frozen_parameters_stay_and_the_others_move():
    histories = {}
    for step in ("eager", "captured"):
        model = model_of("tinyvgg")
        frozen = model.block_1.requires_grad_(requires_grad=False)
        before = [p.clone() for p in frozen.parameters()]
        config = run_config({"model": "tinyvgg", "epochs": 1, "step": step})
        (epoch,) = Fit(model, dataset(), config=config, device=choose("cpu"))
        histories[step] = epoch.step_losses.tolist()
        assert all(torch.equal(p, b) for p, b in zip(frozen.parameters(), before, strict=True))
    assert histories["eager"] == histories["captured"]


@pytest.mark.slow
def test_capturing_and_training_imports_no_compiler():
    script = (
        "import sys, torch\n"
        "from cvexp.data.dataset import Split\n"
        "from cvexp.config import run_config\n"
        "from cvexp.data.batches import ResidentSource\n"
        "from cvexp.data.transforms import Transform\n"
        "from cvexp.engine.backends.captured import CapturedSteps\n"
        "from cvexp.engine.state import TrainState\n"
        "from cvexp.optim.rules import rule_for\n"
        "model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))\n"
        "train = Split(images=torch.zeros(8, 1, 4, 4, dtype=torch.uint8), labels=torch.zeros(8, dtype=torch.int64))\n"
        "state = TrainState(model, rule_for(run_config({'model': 'linear', 'optimizer': 'adam'})), lr=0.1)\n"
        "steps = CapturedSteps(state, ResidentSource(train, Transform()), batch_size=4)\n"
        "steps.run(torch.arange(8), torch.zeros(2), 0, 2)\n"
        "print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_declining_leaves_the_model_as_it_was():
    seed_everything(1)
    model = DrawsInPython()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(Unsupported):
        CapturedSteps(state_of(model), source_of(64), batch_size=32)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_capturing_moves_nothing_and_draws_nothing():
    model = regular()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    CapturedSteps(state_of(model, "adam"), source_of(64), batch_size=32)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_cuda_graphs_are_declined_on_the_cpu():
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    with pytest.raises(Unsupported, match="CUDA"):
        CudaGraphSteps(state_of(model), source_of(64), batch_size=32)
    with pytest.raises(ConfigError, match="--step cuda-graph cannot be used"):
        choose_runner(state_of(model), source_of(64), run_config({"model": "linear", "step": "cuda-graph"}))


def steps_of(name, optimizer="adam", **settings):
    return CapturedSteps(state_of(model_of(name), optimizer, 0.01), source_of(77), batch_size=32, **settings)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg", "regular"])
def test_the_native_loop_serves_every_model_and_is_pythons_bit_for_bit(name, optimizer):
    outcomes = []
    for native in (True, False):
        steps = steps_of(name, optimizer, native=native)
        assert steps.loop == ("native" if native else "python")
        seed_everything(7)
        losses = torch.zeros(3)
        order = torch.randperm(77)
        n_correct = [int(steps.run(order, losses, start, 2)) for start in (0, 2, 0, 2)]
        outcomes.append((n_correct, [losses, *steps.state.tensors(), torch.rand(1)]))
    assert outcomes[0][0] == outcomes[1][0]
    assert all(torch.equal(a, b) for a, b in zip(outcomes[0][1], outcomes[1][1], strict=True))


def test_building_a_native_loop_leaves_weights_moments_and_generator_alone():
    model = model_of("regular")
    before = [t.clone() for t in model.state_dict().values()]
    state = torch.get_rng_state()
    steps = CapturedSteps(state_of(model, "adam"), source_of(77), batch_size=32)
    assert not any(steps.state.n_steps)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_steps_run_from_python_where_there_is_no_torchscript(monkeypatch):
    def missing(_source):
        raise RuntimeError("TorchScript has left")

    monkeypatch.setattr(torch.jit, "CompilationUnit", missing)
    assert steps_of("linear").loop == "python"


def test_a_native_loop_that_gives_other_numbers_is_not_used(monkeypatch):
    each = scripted._each

    def other(*call):
        return [text.replace(", alpha=", ", alpha=0.999 * ") for text in each(*call)]

    monkeypatch.setattr(scripted, "_each", other)
    assert steps_of("linear", "sgd").loop == "python"


def test_small_models_get_one_thread_and_convolutions_channels_last():
    device = choose("cpu")
    small = choose_layout(model_of("linear"), SHAPE, batch_size=32, device=device, n_threads=None)
    large = choose_layout(nn.Conv2d(1, 64, 3), (1, 64, 64), batch_size=64, device=device, n_threads=None)
    asked = choose_layout(model_of("linear"), SHAPE, batch_size=32, device=device, n_threads=3)
    assert (small.threads, small.memory_format) == (1, "contiguous")
    assert (large.threads, large.memory_format) == (device.threads, "channels_last")
    assert (asked.threads, asked.evaluation_threads, asked.policy) == (3, 3, "3")
    assert large.evaluation_threads == device.threads
    tiny = choose_layout(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), batch_size=4, device=device, n_threads=None
    )
    assert 1 <= tiny.evaluation_threads <= device.threads
    assert small.policy == large.policy != asked.policy


def test_channels_last_changes_the_layout_and_no_value():
    model = model_of("tinyvgg")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layout = choose_layout(model, SHAPE, batch_size=32, device=choose("cpu"), n_threads=None)
    after = apply_layout(model, layout).state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert after["block_2.0.weight"].is_contiguous(memory_format=torch.channels_last)


def test_eager_steps_serve_what_looks_at_values():
    model = TakesBranches()
    steps = EagerSteps(state_of(model), source_of(64), batch_size=32)
    losses = torch.zeros(2)
    assert 0 <= int(steps.run(torch.arange(64), losses, 0, 2)) <= 64
    assert losses.min() > 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_rate_written_between_steps_is_the_next_steps_rate_without_a_new_recording(optimizer, monkeypatch):
    outcomes = []
    for kind in (EagerSteps, CapturedSteps):
        steps = kind(state_of(model_of("tinyvgg"), optimizer, 0.01), source_of(77), batch_size=32)
        if kind is CapturedSteps:
            monkeypatch.setattr("cvexp.engine.backends.captured.record", None)
        losses = torch.zeros(3)
        for step in range(3):
            steps.state.lr.fill_(0.01 / (step + 1))
            steps.run(torch.arange(77), losses, step, 1)
        outcomes.append([losses, *steps.state.tensors()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*outcomes, strict=True))


@pytest.mark.slow
def test_a_network_whose_replay_differs_from_plain_eager_steps_is_declined():
    """ResNet-18 at 32x32 in channels_last: its last maps are 1x1, and their memory format is ambiguous."""
    from torchvision.models import resnet18

    seed_everything(0)
    model = resnet18(num_classes=4).to(memory_format=torch.channels_last)
    source = ResidentSource(noise(64, (3, 32, 32)), Transform())
    with pytest.raises(Unsupported, match="replayed steps differ from eager ones"):
        CapturedSteps(state_of(model), source, batch_size=32)


def test_a_step_of_many_operations_is_not_recorded(monkeypatch):
    monkeypatch.setattr("cvexp.engine.backends.choice.MACS_WORTH_RECORDING", 32 * 144 * 4)
    config = {"model": "linear", "batch_size": 32}
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    assert choose_runner(state_of(model), source_of(64), run_config(config)).runner.name == "captured"
    chosen = choose_runner(state_of(model), source_of(64), run_config({**config, "accumulate": 2}))
    assert chosen.runner.name == "eager"
    assert "multiply-accumulates" in chosen.reason
    asked = choose_runner(state_of(model), source_of(64), run_config({**config, "accumulate": 2, "step": "captured"}))
    assert asked.runner.name == "captured"
