"""The model card of an export: written beside the files, with the figures of the run, over nobody else's card."""

from __future__ import annotations

import re

import pytest
import torch

pytestmark = pytest.mark.slow


def card_of(folder):
    return (folder / "MODEL_CARD.md").read_text()


@pytest.fixture
def exported(lab, cvexp, tmp_path):
    """Export one of the lab's runs to a folder."""

    def export(model="linear", name="net.pt", *words):
        run = lab.runs[model]
        done = cvexp("export", run.run_id, "--out", str(tmp_path / name), "--no-log", "--no-bench", *words)
        assert done.code == 0, done.stderr
        return done

    return export


def test_the_card_is_beside_the_file_and_has_the_runs_figures(exported, lab, tmp_path):
    done = exported()
    assert f"{tmp_path / 'MODEL_CARD.md'}  the model card" in done.stdout
    metrics = lab.runs["linear"].metrics()
    card = card_of(tmp_path)
    assert f"right in **{metrics['test/accuracy']:.2%}**" in card
    assert f"| cross-entropy | {metrics['test/loss']:.4f} nats |" in card
    assert "1,437 training, 360 test" in card
    assert "cvexp train linear --dataset digits" in card
    assert "net.pt" in card


def test_another_runs_card_and_ones_own_are_left_alone(exported, lab, tmp_path):
    exported("linear", "a.pt")
    before = card_of(tmp_path)
    exported("mlp", "b.pt")
    assert card_of(tmp_path) == before
    other = tmp_path / f"MODEL_CARD-{lab.runs['mlp'].run_id[:8]}.md"
    assert "b.pt" in other.read_text()
    (tmp_path / "MODEL_CARD.md").write_text("# Mine\n")
    exported("linear", "a.pt")
    assert card_of(tmp_path) == "# Mine\n"


def test_files_that_the_run_was_exported_to_before_stay_in_its_card(exported, tmp_path):
    exported("linear", "a.pt")
    exported("linear", "a.safetensors", "--format", "safetensors")
    card = card_of(tmp_path)
    assert "| `a.pt` | state-dict |" in card
    assert "| `a.safetensors` | safetensors |" in card


def test_the_python_of_the_card_runs(exported, tmp_path, monkeypatch):
    exported("tinyvgg")
    (block,) = re.findall(r"```python\n(.*?)\n```", card_of(tmp_path), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "card", "exec"), names)  # noqa: S102 - the code under test
    assert torch.allclose(names["probabilities"].sum(1), torch.ones(1))
