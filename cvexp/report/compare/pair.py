"""Two groups side by side: on the terminal, and for JSON."""

from dataclasses import asdict
from typing import Any

from cvexp.comparison.pair import Differing, Pair, RecallChange
from cvexp.report.terminal import cell, console, say, table

SHOWN_SETTINGS = 20
SHOWN_CLASSES = 5
NOTHING_DIFFERS = "Settings, environment and code do not differ."


def show_pair(pair: Pair) -> None:
    """Print what was different, the classes whose recall moved most, and how many images were gained and lost."""
    _show_differing(pair)
    if not pair.n_images:
        return
    if pair.recalls:
        made = table("recall of", ">images", f">{pair.a}", f">{pair.b}", ">change", ">95%")
        for one in pair.recalls[:SHOWN_CLASSES]:
            made.add_row(*(cell(text, "bold" if one.is_clear else "") for text in recall_row(one)))
        console().print(made)
        if len(pair.recalls) > SHOWN_CLASSES:
            say(f"{len(pair.recalls) - SHOWN_CLASSES} more classes changed less (--json has all)", "dim")
    for sentence in pair_sentences(pair):
        say(sentence)


def pair_sentences(pair: Pair) -> list[str]:
    """How many images were gained and lost, and what else the per-image records tell."""
    gained = f"Of {pair.n_images:,} test images, {pair.b} gets {len(pair.gained):,} right that {pair.a} gets wrong, "
    lines = [f"{gained}and {len(pair.lost):,} the other way round."]
    if pair.win_share:
        lines.append(f"{pair.win_share[0].upper()}{pair.win_share[1:]}.")
    if pair.log_loss is not None:
        loss = pair.log_loss
        between = "" if loss.low is None or loss.high is None else f" (95% {loss.low:+.4f} to {loss.high:+.4f})"
        lines.append(f"Log-loss, less is better: {pair.a} minus {pair.b} {loss.mean:+.4f} nats{between}.")
    return lines


def recall_row(one: RecallChange) -> tuple[str, ...]:
    """The cells of a class: its name, images, both recalls, the change in points and its interval."""
    limits = "-" if one.low is None or one.high is None else f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    change = f"{100 * (one.b - one.a):+.1f}"
    return one.class_name, f"{one.n_images:,}", f"{one.a:.1%}", f"{one.b:.1%}", change, limits


def differing_rows(pair: Pair) -> list[tuple[str, Differing]]:
    """What differs, each with its kind."""
    kinds = {"setting": pair.settings, "environment": pair.environment, "code": pair.code}
    return [(kind, one) for kind, found in kinds.items() for one in found[:SHOWN_SETTINGS]]


def _show_differing(pair: Pair) -> None:
    rows = differing_rows(pair)
    if not rows:
        say(NOTHING_DIFFERS, "dim")
        return
    made = table("", "differs", pair.a, pair.b)
    for n, (kind, one) in enumerate(rows):
        first = not n or rows[n - 1][0] != kind
        made.add_row(*map(cell, (kind if first else "", one.name, one.a, one.b)))
    console().print(made)


def pair_document(pair: Pair) -> dict[str, Any]:
    """The pair for `--json`."""
    return {
        "a": pair.a,
        "b": pair.b,
        "settings": [asdict(one) for one in pair.settings],
        "environment": [asdict(one) for one in pair.environment],
        "code": [asdict(one) for one in pair.code],
        "recalls": [asdict(one) for one in pair.recalls],
        "gained": pair.gained.tolist(),
        "lost": pair.lost.tolist(),
        "n_images": pair.n_images,
        "log_loss": None if pair.log_loss is None else asdict(pair.log_loss),
        "text": pair.win_share,
    }
