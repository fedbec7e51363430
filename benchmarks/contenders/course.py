"""The course's loop as its readers write it: torchvision's dataset, ToTensor per image, a loss read at every step."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from benchmarks.tasks import Answer, Task
from benchmarks.torch_models import course_model

RAW = Path("/usr/share/datasets/fashion-mnist")


def datasets(folder: Path, limit: int | None) -> list[Dataset]:
    """Make torchvision's own Fashion-MNIST, its files unpacked from Debian's package."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for packed in RAW.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    both = [
        torchvision.datasets.FashionMNIST(root=str(folder), train=train, transform=torchvision.transforms.ToTensor())
        for train in (True, False)
    ]
    return both if limit is None else [Subset(part, range(min(limit, len(part)))) for part in both]


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate as the course does."""
    torch.set_num_threads(task.threads)
    train_data, test_data = datasets(scratch, task.limit)
    train_loader = DataLoader(train_data, batch_size=task.batch_size, shuffle=True)
    test_loader = DataLoader(test_data, batch_size=task.batch_size, shuffle=False)
    torch.manual_seed(42)
    model = course_model(task.model).to(task.device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(params=model.parameters(), lr=0.1)
    torch.manual_seed(42)
    train_seconds, evaluate_seconds = [], []
    train_loss = accuracy = 0.0
    for _ in range(task.epochs):
        start = time.perf_counter()
        train_loss = train_accuracy = 0.0
        model.train()
        for images, labels in train_loader:
            images, labels = images.to(task.device), labels.to(task.device)  # noqa: PLW2901 - as the course has it
            logits = model(images)
            loss = loss_fn(logits, labels)
            train_loss += loss.item()
            train_accuracy += (logits.argmax(dim=1) == labels).sum().item() / len(labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        train_loss /= len(train_loader)
        train_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        accuracy = test_loss = 0.0
        model.eval()
        with torch.inference_mode():
            for images, labels in test_loader:
                images, labels = images.to(task.device), labels.to(task.device)  # noqa: PLW2901 - as the course has it
                logits = model(images)
                test_loss += loss_fn(logits, labels).item()
                accuracy += (logits.argmax(dim=1) == labels).sum().item() / len(labels)
        accuracy /= len(test_loader)
        evaluate_seconds.append(time.perf_counter() - start)
    return Answer(
        train_seconds=train_seconds,
        evaluate_seconds=evaluate_seconds,
        train_loss=train_loss,
        test_accuracy=accuracy,
        versions={"torch": torch.__version__, "torchvision": torchvision.__version__},
    )
