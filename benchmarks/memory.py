"""What `cvexp train` holds in memory beyond what its imports take: peaks of processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, save

TRAIN = """
import json, resource, sys
from cvexp.cli.main import run
sys.stdout = sys.stderr
code = run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
json.dump({"code": code, "peak": peak, "modules": list(sys.modules)}, sys.__stdout__)
"""
IMPORT = """
import contextlib, importlib, json, resource, sys
for name in json.load(sys.stdin):
    with contextlib.suppress(Exception):
        importlib.import_module(name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(*, models: list[str], repeats: int, limit: int | None, name: str) -> None:
    """Measure, print the table, and write it to `benchmarks/results/`."""
    rows: list[Row] = []
    for model in models:
        peaks = [_peaks(model, limit) for _ in range(repeats)]
        rows.append(Row(name=f"{model}: imports", samples=[imports for imports, _ in peaks]))
        rows.append(Row(name=f"{model}: cvexp train", samples=[peak for _, peak in peaks]))
        rows.append(Row(name=f"{model}: above its imports", samples=[peak - imports for imports, peak in peaks]))
    print("| peak resident memory | median, MiB | smallest to largest |\n|---|---:|---:|")
    for row in rows:
        print(f"| {row.name} | {row.median:,.0f} | {min(row.samples):,.0f} to {max(row.samples):,.0f} |")
    print(f"\nwritten to {save(name, {'peak resident memory, MiB': rows})}")


def _peaks(model: str, limit: int | None) -> tuple[float, float]:
    """MiB of a process that only imports what training imported, and of the training."""
    words = ["train", model, "--device", "cpu", "--epochs", "1"]
    if limit is not None:
        words += ["--limit", str(limit)]
    with tempfile.TemporaryDirectory() as folder:
        trained = json.loads(_python(TRAIN, *words, folder=folder))
        if trained["code"]:
            raise SystemExit(f"training {model} failed with {trained['code']}")
        imports = float(_python(IMPORT, folder=folder, given=json.dumps(trained["modules"])))
    return imports, float(trained["peak"])


def _python(code: str, *words: str, folder: str, given: str = "") -> str:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}", *words]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=True).stdout  # noqa: S603
