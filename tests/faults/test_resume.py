"""A training that is hit anywhere and resumed gives the bits of one that was not."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from tests.faults import killing

EXITS = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}
GENTLE_POINTS = ("step", "stepped", "evaluation", "writing", "delivered", "drawing")
POINTS = (*GENTLE_POINTS, "evaluated", "written", "noting", "noted", "delivery", "timer")
SEED = 20
TABLE = Path("campaign.md")
"""Where the campaign writes a line for each hit."""


@pytest.fixture(scope="session", params=["linear", "tinyvgg"])
def whole(request, tmp_path_factory):
    """The model, the fingerprint of an uninterrupted training of it, and how often each point was passed."""
    model = request.param
    folder = tmp_path_factory.mktemp(f"whole-{model}")
    counts = folder / "counts.json"
    code, _, err = killing.run([*killing.TRAIN[model], *killing.KEEP], folder, nth=counts)
    assert code == 0, err
    expected = killing.fingerprint(folder)
    assert expected["status"] == "FINISHED"
    return model, expected, json.loads(counts.read_text())


def random_points(model, counts, signame, n_points):
    """`n_points` of them, every kind first, each at a random call: the same ones in every session."""
    chosen = random.Random(f"{SEED} {model} {signame}")
    kinds = list(POINTS if signame == "SIGKILL" else GENTLE_POINTS)
    chosen.shuffle(kinds)
    found = []
    while len(found) < n_points:
        kind = kinds[len(found) % len(kinds)]
        # The first of these come before the run exists; a hit there leaves nothing to resume.
        first = {"noting": 2, "noted": 3, "delivery": 2, "delivered": 2, "writing": 4, "written": 2}
        first = first.get(kind, 1)
        last = 150 if kind == "timer" else counts[kind]
        found.append((kind, chosen.randint(first, max(first, last))))
    return found


def hit_and_resume(model, folder, point, nth, signame):
    """Hit a training, resume it until it is done, and take its fingerprint."""
    process = killing.start([*killing.TRAIN[model], *killing.KEEP], folder, point=point, nth=nth, signame=signame)
    code, _, err = killing.finish(process)
    if code != 0:  # a timer may come after the last step
        assert code == EXITS[signame], err
        if signame != "SIGKILL":
            assert len(err.splitlines()) - err.count("\nepoch") < 12
            assert "go on: cvexp train --resume" in err or "interrupted by" in err
        code, _, err = killing.run(["train", "--resume", "@last", *killing.KEEP[2:], "--json"], folder)
        if code == 3:  # a machine that is very slow
            code, _, err = killing.run(["sync"], folder)
        # A hit that comes when all is done finds nothing left to do.
        assert code == 0 or (code == 2 and "has finished its 3 epochs" in err), err
    return killing.fingerprint(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whole", "signame"),
    [
        ("linear", "SIGKILL"),
        ("tinyvgg", "SIGKILL"),
        *(
            pytest.param(model, signame, marks=pytest.mark.campaign)
            for model in ("linear", "tinyvgg")
            for signame in ("SIGTERM", "SIGINT")
        ),
    ],
    indirect=["whole"],
)
def test_a_hit_and_resumed_training_is_the_uninterrupted_one_bit_for_bit(whole, signame, tmp_path):
    model, expected, counts = whole
    for number, (point, nth) in enumerate(random_points(model, counts, signame, 2 if model == "linear" else 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert hit_and_resume(model, folder, point, nth, signame) == expected, (point, nth)
        assert not killing.leftovers(folder), (point, nth)


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("signame", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_campaign(whole, signame, number, tmp_path):
    model, expected, counts = whole
    point, nth = random_points(model, counts, signame, 20)[number]
    found = hit_and_resume(model, tmp_path, point, nth, signame)
    line = f"| {model} | {signame} | {point} {nth} | {found['weights'][:16]} | {found == expected} |"
    with TABLE.open("a") as stream:
        stream.write(line + "\n")
    assert found == expected
    assert not killing.leftovers(tmp_path)
