"""What one of two processes does for test_steps.py: trains along, compares with one process, and reports as JSON."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from cvexp import process
from cvexp.config import run_config
from cvexp.data.augment.source import training_source
from cvexp.data.dataset import load_dataset
from cvexp.engine.assembly import new_state
from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.distributed.ranks import Control
from cvexp.engine.distributed.steps import DistributedSteps
from cvexp.errors import TrainingError
from cvexp.inference.predictor import logits_by_class
from cvexp.training.together import group, own_device

BASE = {"model": "tinyvgg", "dataset": "digits", "device": "cpu", "epochs": 1}


class Doubled:
    """A source whose images, and class probabilities, are float64."""

    def __init__(self, source):
        self._source, self.device, self.is_resident = source, source.device, False

    def __len__(self):
        return len(self._source)

    def gather(self, indices):
        return self._double(self._source.gather(indices))

    def chunks(self, *arguments, **keywords):
        return map(self._double, self._source.chunks(*arguments, **keywords))

    def pieces(self, *arguments):
        return map(self._double, self._source.pieces(*arguments))

    def start_epoch(self, epoch):
        self._source.start_epoch(epoch)

    def _double(self, batch):
        return tuple(one.double() if one.is_floating_point() else one for one in batch)


class Normalised(nn.Module):
    """Batch normalisation after a convolution and after a linear layer, and a parameter that no forward pass uses."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, 8, bias=False),
            nn.BatchNorm1d(8),
        )
        self.head = nn.Linear(8, 10)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, images):
        return self.head(self.layers(images))


class Tiny(nn.Module):
    """Two convolutions, as tinyvgg has them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(24, 10)

    def forward(self, images):
        return self.head(self.layers(images))


def trained(model, config, dataset, ranks, n_steps):
    """Losses float64 of `n_steps` steps, the correct ones, and the state's tensors, by processes or by one."""
    state = new_state(model, dataset, config)
    if state.options.loss.weights is not None:
        state.options.loss.weights.data = state.options.loss.weights.double()
    source = Doubled(training_source(dataset, config, seed=config.seed))
    if ranks is None:
        steps = EagerSteps(state, source, batch_size=config.images_per_step)
    else:
        steps = DistributedSteps(state, source, batch_size=config.images_per_step, seed=config.seed, ranks=ranks)
    losses = torch.empty(n_steps, dtype=torch.float64)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(7))
    model.train()
    n_correct = 0
    for start in range(0, n_steps, 11):
        n_correct += int(steps.run(order, losses, start, min(11, n_steps - start)))
    return losses, n_correct, [tensor.detach().clone() for tensor in state.tensors()]


def difference(make, settings, dataset, ranks, n_steps):
    """The largest differences of losses and weights from one process, and of the counts."""
    config = run_config({**BASE, **settings})
    found = []
    for who in (ranks, None):
        torch.manual_seed(1)
        found.append(trained(make().double(), config, dataset, who, n_steps))
    (losses, n_correct, tensors), (their_losses, their_n, theirs) = found
    return {
        "losses": float((losses - their_losses).abs().max()),
        "weights": max(float((a - b).abs().max()) for a, b in zip(tensors, theirs, strict=True)),
        "moved": max(float((a - b).abs().max()) for a, b in zip(theirs, make().double().parameters(), strict=False)),
        "counts": n_correct - their_n,
        "n_correct": n_correct,
    }


class Dropping(nn.Module):
    """A layer that draws, and keeps what it drew last."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(64, 10)

    def forward(self, images):
        self.kept = self.drop(torch.ones(len(images), 64)) > 0
        return self.head(images.flatten(1) * self.kept)


def dropped(ranks, dataset):
    """Whether steps that go on from process 0's state have the same bits, and whether processes draw differently."""
    config = run_config({**BASE, "batch_size": 16, "optimizer": "adam"})
    order = torch.arange(len(dataset.train))
    states = []
    for pauses in ((), (10,)):
        state, generators = None, None
        for start, stop in itertools.pairwise((0, *pauses, 20)):
            torch.manual_seed(3)
            model = Dropping()
            steps = DistributedSteps(
                new_state(model, dataset, config),
                training_source(dataset, config, seed=1),
                batch_size=16,
                seed=1,
                ranks=ranks,
            )
            if state is not None:
                steps.state.load_state_dict(state)
                torch.set_rng_state(generators)
            model.train()
            steps.run(order, torch.empty(90), start, stop - start)
            state = dict(ranks.share_state(steps.state.state_dict()))
            generators = torch.get_rng_state()
        states.append(state["model"]["head.weight"])
    kept = [torch.zeros(8, 64) for _ in range(2)]
    dist.all_gather(kept, model.kept.float())
    return {"equal": bool(torch.equal(*states)), "same_draws": bool(torch.equal(*kept)), "draws": steps.draws}


def evaluated(ranks, dataset):
    """Whether each image counts once, whatever the number: equal logits up to rounding, equal classes."""
    torch.manual_seed(2)
    model = Tiny()
    found = {}
    for n in (1, 2, 101, 360):
        images = dataset.test.images[:n]
        how = {"device": torch.device("cpu"), "batch_size": 37}
        ours = ranks.logits_by_class(model, images, dataset.transform, **how)
        theirs = logits_by_class(model, images, dataset.transform, **how)
        equal = bool((ours.argmax(0) == theirs.argmax(0)).all())
        found[str(n)] = {"difference": float((ours - theirs).abs().max()), "equal": equal, "n": ours.shape[1]}
    return found


def main():
    place = process.rank_here()
    dataset = load_dataset(run_config(BASE), None)
    uneven = replace(dataset, train=dataset.train.take(np.arange(1044)))  # 149 batches of 7, and one of a single image
    report = {}
    with group(Control(place), own_device("cpu", place)) as ranks:
        torch.set_num_threads(1)
        report["plain"] = difference(Tiny, {"batch_size": 7, "lr": 0.05}, uneven, ranks, 150)
        everything = {
            "batch_size": 5,
            "accumulate": 3,
            "optimizer": "adam",
            "lr": 0.003,
            "clip_norm": 1.0,
            "ema": 0.9,
            "class_weights": "balanced",
            "label_smoothing": 0.1,
        }
        report["options"] = difference(Normalised, everything, dataset, ranks, 30)
        mixed = {"batch_size": 9, "augment": "flip-crop,mixup", "lr": 0.02}
        report["augmented"] = difference(Normalised, mixed, dataset, ranks, 40)
        report["dropped"] = dropped(ranks, dataset)
        report["evaluated"] = evaluated(ranks, dataset)
        ranks.check_equal({"same": torch.ones(3)})
        try:
            ranks.check_equal({"same": torch.ones(3), "other": torch.full((2,), float(place.rank))})
        except TrainingError as error:
            report["differing"] = error.what
        report["agreed"] = ranks.agreed(10 + place.rank)
        state = {"epoch": 3, "weights": torch.arange(4.0)} if place.rank == 0 else {}
        got = ranks.share_state(state)
        report["state"] = [got["epoch"], got["weights"].tolist()]
        with open(f"{sys.argv[1]}.{place.rank}", "w") as stream:  # noqa: PTH123
            json.dump(report, stream)


if __name__ == "__main__":
    process.take()
    main()
