"""A comparison as it is printed: at any width, in any format, with one set of figures."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.comparison.made import repeats_of, run_of

LONG = "tinyvgg with wide layers and a cosine schedule"
MARKUP = re.compile(r"\x1b\[[0-9;]*m")


def store_of():
    """What a store of everyday runs holds: repeats, single runs, long names, a busy machine, a training that failed."""
    latency = {"latency": 0.158}
    return [
        *repeats_of(1, [0.884, 0.886, 0.881, 0.885, 0.882], model="tinyvgg", seconds=60.0, **latency),
        *repeats_of(20, [0.834, 0.836, 0.838], model="mlp", seconds=5.5, settings={"model_args.output_relu": "false"}),
        *repeats_of(30, [0.831, 0.829, 0.1], model="linear", seconds=5.0),
        run_of(40, model="tinyvgg", accuracy=0.9012, seconds=140.0, name=LONG, settings={"hidden_units": "32"}),
        run_of(50, model="mlp", accuracy=0.5, seconds=900.0, busy=True, settings={"lr": "3"}),
        run_of(60, model="mlp", accuracy=0.2, seconds=1.0, name="stopped early", status="FAILED", settings={"lr": "9"}),
    ]


@pytest.fixture
def compare(monkeypatch, record, cvexp):
    """Compare those runs as though they were in the store."""
    monkeypatch.setattr("cvexp.tracking.cached.search_cached", lambda *_args, **_kwargs: store_of())
    return lambda *words: cvexp("compare", *words)


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_no_run_name_and_no_figure_is_cut_at_any_width(columns, compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = compare("--view", "all")
    assert shown.code == 0, shown.stderr
    assert "…" not in shown.stdout
    for name in (LONG, "stopped early", "tinyvgg-000000 +4"):
        assert name in shown.stdout
    for figure in ("88.4 ± 0.3 (n=5)", "90.12%", "83.6 ± 0.5 (n=3)", "(1 of 3 collapsed)"):
        assert figure in shown.stdout


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_rows_are_no_wider_than_the_terminal(columns, compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    table = compare().stdout.partition("The most accurate")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= columns


def test_times_of_a_busy_machine_are_marked_and_the_mark_is_explained(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = compare().stdout
    assert "900.0 !" in shown
    assert "! was measured on a busy machine" in shown


def test_every_format_has_the_same_figures(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    document = compare("--json").document
    group = next(one for one in document["groups"] if one["label"] == "tinyvgg")
    assert (group["n"], group["seeds"], group["recipe"] is None) == (5, [0, 1, 2, 3, 4], False)
    assert {"mean", "low", "high", "n"} == group["metrics"]["test/accuracy"].keys()
    figure = group["metrics"]["test/accuracy"]
    written = f"{100 * figure['mean']:.1f} ± {100 * (figure['high'] - figure['mean']):.1f} (n={figure['n']})"
    rows = list(csv.DictReader(io.StringIO(compare("--format", "csv").stdout)))
    row = next(row for row in rows if row["group"] == "tinyvgg")
    assert len(rows) == len(document["runs"]) == len(store_of())
    assert float(row["group.test/accuracy.mean"]) == figure["mean"]
    assert float(row["group.test/accuracy.high"]) == figure["high"]
    for words in ((), ("--format", "md")):
        assert written in compare(*words).stdout


def test_colours_change_no_character(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    plain = compare().stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = compare().stdout
    monkeypatch.setenv("NO_COLOR", "1")
    uncoloured = compare().stdout
    assert "\x1b[2m" in coloured
    assert MARKUP.sub("", coloured) == plain
    assert not re.search(r"\x1b\[3\d", uncoloured)


def test_the_document_has_what_the_contract_says(compare):
    document = compare("--json", "--pick").document
    assert {"groups", "verdicts", "pick", "runs", "sort", "conditions", "notes", "schema_version"} <= document.keys()
    for group in document["groups"]:
        assert {"recipe", "model", "n", "seeds", "metrics", "on_front", "dominated_by"} <= group.keys()
    kinds = {"better", "worse", "tied", "cannot-tell", "these-two-only"}
    assert document["verdicts"]
    for verdict in document["verdicts"]:
        assert {"a", "b", "metric", "difference", "low", "high", "n_seeds_needed", "text"} <= verdict.keys()
        assert verdict["verdict"] in kinds
    assert document["pick"]["label"]
    collapsed = next(group for group in document["groups"] if group["n_collapsed"])
    assert collapsed["metrics"]["test/accuracy"]["low"] is None


def test_without_groups_every_run_has_a_row(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    document = compare("--json", "--no-group").document
    assert [group["n"] for group in document["groups"]] == [1] * len(store_of())
    assert "±" not in compare("--no-group").stdout.partition("\n\n")[0]


def test_a_single_run_prints_as_it_did_before(compare, monkeypatch):
    monkeypatch.setattr("cvexp.tracking.cached.search_cached", lambda *_args, **_kwargs: store_of()[:1])
    shown = compare().stdout
    assert "88.40%" in shown
    assert "±" not in shown


def test_chosen_columns_are_all_shown_in_their_order(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    header = next(
        line for line in compare("--columns", "run,bytes,accuracy,seeds").stdout.splitlines() if "run" in line
    )
    assert header.split() == ["run", "bytes", "test", "acc", "seeds"]


def test_names_from_a_store_cannot_move_the_cursor_or_write_markdown(monkeypatch, record, cvexp):
    runs = [run_of(1, name="[red]a\x1b[2J|b", model="*m*"), run_of(2, name="=1+1", model="m\n")]
    monkeypatch.setattr("cvexp.tracking.cached.search_cached", lambda *_args, **_kwargs: list(runs))
    for words in ((), ("--format", "md"), ("--format", "csv"), ("--json",)):
        shown = cvexp("compare", *words)
        assert shown.code == 0, shown.stderr
        assert "\x1b" not in shown.stdout
    assert "\\*m\\*" in cvexp("compare", "--format", "md").stdout
    names = [run["run_name"] for run in json.loads(cvexp("compare", "--json").stdout)["runs"]]
    assert sorted(names) == sorted(run.name for run in runs)


WRONG = {
    "unknown metric": (("--budget", "latncy_ms<1"), "did you mean 'latency_ms'"),
    "malformed budget": (("--budget", "latency_ms"), "'latency_ms'"),
    "empty budget": (("--budget", ""), "--budget"),
    "unit of something else": (("--budget", "latency_ms<1k"), "units: ms"),
    "negative margin": (("--margin", "-1"), "--margin -1"),
    "margin of nothing": (("--margin", "0"), "--margin 0"),
    "margin that is no number": (("--margin", "nan"), "--margin nan"),
    "unknown view": (("--view", "sped"), "did you mean 'speed'"),
    "unknown column": (("--columns", "model,acuracy"), "did you mean 'accuracy'"),
    "no column": (("--columns", ","), "--columns"),
    "view and columns": (("--columns", "run", "--view", "all"), "--view"),
    "front of one": (("--front", "accuracy"), "two objectives"),
    "unknown objective": (("--front", "accuracy,latncy_ms"), "did you mean 'latency_ms'"),
    "objective that is none": (("--front", "accuracy,loss"), "loss"),
    "epoch before the first": (("--at", "0"), "--at 0"),
    "epoch that is none": (("--at", "first"), "--at first"),
    "unknown order": (("--sort", "acuracy"), "did you mean 'accuracy'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses_are_refused_in_three_lines(case, compare):
    words, said = WRONG[case]
    refused = compare(*words)
    assert (refused.code, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3


def test_a_pick_over_different_test_images_is_refused(monkeypatch, record, cvexp):
    runs = [run_of(1), run_of(2, test_set="f" * 16)]
    monkeypatch.setattr("cvexp.tracking.cached.search_cached", lambda *_args, **_kwargs: list(runs))
    refused = cvexp("compare", "--pick")
    assert refused.code == 2
    assert "different test images" in refused.stderr
