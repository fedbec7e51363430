"""What every contender is asked to do, and what it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class Task:
    """Train and evaluate one model on Fashion-MNIST.

    Attributes:
        model: `linear`, `mlp` or `tinyvgg`, as in the course.
        epochs: Passes over the training images; the first one is a warm-up and is not measured.
        batch_size: Training images per step.
        limit: Only the first so many training and test images; None for all.
        threads: CPU threads a framework may use.
        device: `cpu` or `cuda`.
        options: What only one contender understands, such as a step runner.
    """

    model: str = "linear"
    epochs: int = 3
    batch_size: int = 32
    limit: int | None = None
    threads: int = 2
    device: str = "cpu"
    options: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The task as JSON, for the process that runs it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """The task that `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one contender measured in one process.

    Attributes:
        train_seconds: Of each epoch's training, the first included.
        evaluate_seconds: Of each epoch's pass over the test images.
        train_loss: Of the last epoch, nats per image.
        test_accuracy: After the last epoch, a fraction.
        versions: Of the framework.
        peak_mib: Largest resident memory of the process, MiB.
        import_mib: Resident memory once everything was imported, MiB.
    """

    train_seconds: list[float]
    evaluate_seconds: list[float]
    train_loss: float
    test_accuracy: float
    versions: dict[str, str]
    peak_mib: float = 0.0
    import_mib: float = 0.0
