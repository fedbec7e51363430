"""The columns of a comparison and the text of their cells, shared by every format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cvexp.comparison.figures import MISSING, Figure, figure_of
from cvexp.comparison.groups import Group
from cvexp.comparison.tables import Table
from cvexp.config.option import as_typed, settings_of
from cvexp.config.run import RunConfig
from cvexp.jobs.compare import Comparison
from cvexp.results import Metric

ON_FRONT, UNDECIDED, OFF_FRONT = "*", "(*)", ""
ALWAYS_NAMED = ("epochs", "batch_size", "optimizer", "lr")
"""Settings that the caption names also where they are at their default."""

SHOWN_ELSEWHERE = ("model", "dataset", "device", "seed")
_PRIORITIES: dict[str, int] = {
    "device": 1,
    "dataset": 2,
    Metric.IMAGES_PER_SECOND: 3,
    Metric.TEST_LOSS: 4,
    Metric.PARAMETERS: 5,
    "when": 6,
}
_FOLDED_PRIORITIES: dict[str, int] = {Metric.TRAIN_SECONDS: 1, "status": 2}
_CONSTANT = ("model", "dataset", "device", "status", Metric.PARAMETERS, Metric.BYTES)


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: As in `--columns`: of a text, or a metric's key.
        header: As it is read.
        text: What it shows of a group.
        figure: The figure it shows, if it is one.
        constant_to_caption: Whether a value that all groups share moves to the caption.
        priority: The column with the highest is dropped first in a narrow terminal; one with 0 never is.
        wraps: Whether its text may be broken between words.
        below: What stands in a line of its own below the text.
    """

    name: str
    header: str
    text: Callable[[Group], str]
    figure: Figure | None = None
    constant_to_caption: bool = False
    priority: int = 0
    wraps: bool = False
    below: Callable[[Group], str] | None = None

    def style(self, group: Group, table: Table) -> str:
        """Bold for the best accuracy, dim for a group that is off the front."""
        if self.name == table.quality and group.label == table.best:
            return "bold"
        return "dim" if table.front.of(group.label).status == "off" else ""


def columns_of(comparison: Comparison, table: Table) -> list[Column]:
    """The columns that were asked for; without that, those that this table needs."""
    made = [_column(name, table) for name in comparison.analysis.columns]
    if comparison.analysis.request.columns is not None:
        return [replace(column, constant_to_caption=False, priority=0) for column in made]
    return [column for column in made if _is_needed(column, table)]


def _is_needed(column: Column, table: Table) -> bool:
    if column.name == "front":
        return any(standing.status != "unplaced" for standing in table.front.standings.values())
    if column.name == "settings":
        return any(group.settings for group in table.groups)
    if column.figure is not None and column.name not in (Metric.TEST_ACCURACY, Metric.TRAIN_SECONDS):
        return any(column.text(group) != MISSING for group in table.groups)
    return True


def _column(name: str, table: Table) -> Column:
    constant, priority = name in _CONSTANT, _PRIORITIES.get(name, 0)
    if name in _TEXTS:
        header = "*" if name == "front" else name
        text = partial(_star, table) if name == "front" else _TEXTS[name]
        return Column(name, header, text, constant_to_caption=constant, priority=priority, wraps=name == "settings")
    figure = figure_of(name)
    lettered = len({group.conditions_of(name) for group in table.groups if group.figure(name) is not None}) > 1

    shown = partial(figure_text, figure=figure, lettered=lettered)
    return Column(name, figure.header, shown, figure, constant, priority)


def folded(columns: Sequence[Column]) -> list[Column]:
    """The columns with model, settings and run in one, the run below the others, and times that may be dropped."""
    texts = {column.name: column.text for column in columns if column.name in ("model", "settings", "run")}
    if len(texts) < 2:  # noqa: PLR2004 - nothing to put together
        return list(columns)

    def label(group: Group) -> str:
        return (
            " ".join(filter(None, (texts[name](group) for name in ("model", "settings") if name in texts)))
            or group.model
        )

    def run(group: Group) -> str:
        return _run(group) if group.is_finished else f"{_run(group)} ({group.first.status})"

    below = run if "run" in texts else None
    first = Column("model", "model" if texts.keys() - {"run"} else "run", label, wraps=True, below=below)
    rest = [column for column in columns if column.name not in texts]
    return [
        first,
        *(replace(column, priority=column.priority or _FOLDED_PRIORITIES.get(column.name, 0)) for column in rest),
    ]


def _star(table: Table, group: Group) -> str:
    return {"on": ON_FRONT, "undecided": UNDECIDED}.get(table.front.of(group.label).status, OFF_FRONT)


def figure_text(group: Group, figure: Figure, *, lettered: bool = False) -> str:
    """A group's figure: `88.4 ± 0.3 (n=5)`; `!` marks a busy machine, a letter the conditions where they differ."""
    found = group.figure(figure.key)
    if found is None:
        return MISSING
    text = figure.spread(found)
    if group.n_collapsed and figure.is_fraction and figure.on_images:
        text += f" ({group.n_collapsed} of {group.n} collapsed)"
    elif found.n > 1 and (figure.is_fraction or found.n != group.n):
        text += f" (n={found.n})"
    if lettered:
        text += f" {group.conditions_of(figure.key)}"
    return f"{text} !" if group.is_busy(figure.key) else text


def _run(group: Group) -> str:
    others = group.n + group.n_again - 1
    return f"{group.first.name} +{others}" if others else group.first.name


def _seeds(group: Group) -> str:
    return " ".join("?" if seed is None else str(seed) for seed in group.seeds)


_TEXTS: dict[str, Callable[[Group], str]] = {
    "model": lambda group: group.model,
    "settings": lambda group: group.settings,
    "front": lambda _: "",
    "n": lambda group: str(group.n),
    "seeds": _seeds,
    "dataset": lambda group: group.first.params.get("dataset", "?"),
    "device": lambda group: group.first.tags.get("cvexp.device", "?"),
    "status": lambda group: group.first.status,
    "when": lambda group: f"{max(run.started_at for run in group.runs).astimezone():%m-%d %H:%M}",
    "run": _run,
}


def split_constant(columns: Sequence[Column], table: Table) -> tuple[dict[str, str], list[Column]]:
    """Take the columns whose value all groups share out of the table."""
    shared: dict[str, str] = {}
    kept = []
    for column in columns:
        values = {column.text(group) for group in table.groups}
        if column.constant_to_caption and len(values) == 1 and len(table.groups) > 1:
            shared[column.header] = values.pop()
        else:
            kept.append(column)
    return shared, kept


def shared_settings(table: Table) -> dict[str, str]:
    """The settings that all groups share and that are not at their default, and the usual ones."""
    first, *others = [group.first.settings for group in table.groups]
    if not others:
        return {}
    shared = {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}
    defaults = {name: as_typed(setting.default_with(first)) for name, setting in settings_of(RunConfig).items()}
    return {
        name.removeprefix("model_args.").replace("_", " "): value
        for name, value in shared.items()
        if name not in SHOWN_ELSEWHERE and (name in ALWAYS_NAMED or value != defaults.get(name))
    }


def caption_of(table: Table, shared: dict[str, str], hidden: Sequence[str] = ()) -> list[str]:
    """What all groups share, how the table is read, and which columns do not fit."""
    everything = {**shared, **shared_settings(table)}
    lines = ["all: " + ", ".join(f"{name} {value}" for name, value in everything.items())] if everything else []
    lines += table.captions
    if hidden:
        lines.append("left out at this width: " + ", ".join(hidden) + " (--format csv has everything)")
    return lines
