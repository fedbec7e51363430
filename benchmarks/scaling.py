"""cvexp alone: how speed and memory change with images, batch size, hidden units and image size, one at a time."""

from __future__ import annotations

import statistics

from benchmarks.measure import Contender, Row, in_turns, save, steady
from benchmarks.tasks import Answer, Task

AXES = {
    "images": (1_000, 10_000, 60_000, 240_000),
    "batch_size": (8, 32, 128, 512, 4096),
    "hidden_units": (10, 40, 160, 640),
    "side": (14, 28, 56, 112),
}
N_IMAGES = 20_000
"""Training images wherever their number is not the axis."""
COURSE_HIDDEN, COURSE_SIDE = 10, 28
MIN_STEPS = 10
LEARNING_RATE = "0.001"
"""The course's 0.1 makes the loss of the larger points infinite; speed does not depend on it."""
EPOCHS = 3


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`.

    Args:
        models: Each of which gets a table per axis.
        repeats: Turns over the points of an axis.
        threads: CPU threads torch may use.
        limit: No point has more training images; points of the axis `images` above it are left out.
        name: Of the file.
    """
    tables: dict[str, list[Row]] = {}
    sections = []
    for model in models:
        for axis in AXES:
            points = contenders(model, axis, threads=threads, limit=limit)
            answers = in_turns(points, repeats=repeats)
            speed, memory = speeds(points, answers), memories(answers)
            tables[f"{model}, {axis}: training images per second"] = speed
            tables[f"{model}, {axis}: peak memory above imports, MiB"] = memory
            sections.append(f"{model}, {axis}\n\n{section(axis, points, speed, memory)}")
            # Written after every axis: the large points take long.
            path = save(name, tables)
    print("\n" + "\n\n".join(sections))
    print(f"\nwritten to {path}")


def contenders(model: str, axis: str, *, threads: int, limit: int | None) -> list[Contender]:
    """One per point of the axis, everything else as in the course."""
    values = [value for value in AXES[axis] if axis != "images" or limit is None or value <= limit]
    return [
        Contender(
            name=f"{value:,}",
            module="cvexp_scaled",
            task=Task(
                model=model,
                epochs=EPOCHS,
                threads=threads,
                batch_size=value if axis == "batch_size" else Task.batch_size,
                options={"lr": LEARNING_RATE, **options(model, axis, value, limit=limit)},
            ),
        )
        for value in values
    ]


def options(model: str, axis: str, value: int, *, limit: int | None) -> dict[str, str]:
    """What `cvexp_scaled` is to change for one point."""
    if axis == "images":
        return {"images": str(value)}
    n_images = N_IMAGES if limit is None else min(limit, N_IMAGES)
    if axis == "batch_size":
        return {"images": str(max(n_images, MIN_STEPS * value) if limit is None else n_images)}
    if model == "tinyvgg":
        # A convolution's work per image grows with the square of either, so a large point sees fewer images.
        growth = value / (COURSE_HIDDEN if axis == "hidden_units" else COURSE_SIDE)
        n_images = max(int(n_images / max(growth, 1) ** 2), MIN_STEPS * Task.batch_size)
    return {"images": str(n_images), axis: str(value)}


def speeds(points: list[Contender], answers: dict[str, list[Answer]]) -> list[Row]:
    """Training images per second of every point, per repetition."""
    return [
        Row(name=point.name, samples=[n_images(point) / steady(answer)[0] for answer in answers[point.name]])
        for point in points
    ]


def memories(answers: dict[str, list[Answer]]) -> list[Row]:
    """Peak resident memory above what the imports take, per repetition."""
    return [
        Row(name=name, samples=[answer.peak_mib - answer.import_mib for answer in measured])
        for name, measured in answers.items()
    ]


def n_images(point: Contender) -> int:
    """How many training images the point has."""
    return int(point.task.options["images"])


def section(axis: str, points: list[Contender], speed: list[Row], memory: list[Row]) -> str:
    """Markdown: a line per point."""
    lines = [
        f"| {axis} | training images | images per second | smallest to largest | MiB above imports |",
        "|---:|---:|---:|---:|---:|",
    ]
    for point, fast, large in zip(points, speed, memory, strict=True):
        spread = f"{min(fast.samples):,.0f} to {max(fast.samples):,.0f}"
        mib = statistics.median(large.samples)
        lines.append(f"| {point.name} | {n_images(point):,} | {fast.median:,.0f} | {spread} | {mib:,.0f} |")
    return "\n".join(lines)
