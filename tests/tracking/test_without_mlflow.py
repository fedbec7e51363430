"""Commands that only read a local store: MLflow, whose import takes longer than all they do, stays out of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from cvexp.__main__ import main
sys.modules["mlflow"] = None  # importing it raises ImportError
sys.argv = ["cvexp", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("words", [("compare", "@last", "{name}"), ("confmat", "{id}", "--json")])
def test_they_answer_where_mlflow_cannot_be_imported(lab, words):
    run = lab.runs["mlp"]
    typed = [word.format(id=run.run_id[:8], name=run.run_name) for word in words]
    command = [sys.executable, "-c", CODE, *typed]
    done = subprocess.run(command, cwd=lab.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    assert run.run_id in done.stdout or run.run_name in done.stdout
