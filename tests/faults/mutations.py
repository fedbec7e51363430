"""Break one safeguard at a time, in a copy, and see that a test turns red: `python tests/faults/mutations.py`.

Prints a table, and ends with 1 when a safeguard can be removed without any test noticing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """One safeguard removed: what stands in which file, what stands there instead, and where that must show."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "a tag that was changed in place is not noticed by what is kept of a local store",
        "cvexp/tracking/local_changes.py",
        "None if added is None else added | tagged",
        "None if added is None else added",
        ("tests/tracking/test_cached.py",),
    ),
    Mutation(
        "what is kept of a server's store misses records that were delivered late",
        "cvexp/tracking/server_changes.py",
        'f"metrics.`{DELIVERED}` >= {delivered!r}", ',
        "",
        ("tests/tracking/test_cached.py",),
    ),
    Mutation(
        "the small file of kept runs is read with any large one",
        "cvexp/tracking/run_cache.py",
        ' and about["base"] == cache.base',
        "",
        ("tests/tracking/test_cached.py",),
    ),
    Mutation(
        "generators are not restored on resume",
        "cvexp/engine/fit.py",
        "        else:\n            self._generators.restore(self._device.torch)\n",
        "",
        ("tests/engine/test_resume.py",),
    ),
    Mutation(
        "the epoch's order is drawn from where the generators stand",
        "cvexp/engine/fit.py",
        "        self._start.restore(self._device.torch)\n",
        "",
        ("tests/engine/test_resume.py",),
    ),
    Mutation(
        "files are written in place, without os.replace",
        "cvexp/files.py",
        '    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}")\n',
        '    temporary = path\n    temporary.write_bytes(b"")\n    temporary.unlink()\n',
        ("tests/test_files.py",),
    ),
    Mutation(
        "no lock while the store is created",
        "cvexp/tracking/store.py",
        "    if file is None or not (create",
        "    if True or not (create",
        ("tests/faults/test_stops.py::test_eight_trainings_at_once_on_a_store_that_does_not_exist_yet",),
    ),
    Mutation(
        "weights are unpickled whole",
        "cvexp/checkpoint.py",
        "    if not _is_plain_archive(content):\n"
        '        raise WeightsError(f"{source} holds no weights cvexp can read safely", REMEDY)\n'
        "    try:\n"
        '        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)\n',
        '    try:\n        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)\n',
        ("tests/faults/test_untrusted.py",),
    ),
    Mutation(
        "digests are not compared",
        "cvexp/checkpoint.py",
        "    if found != sha256:",
        "    if False:",
        ("tests/test_checkpoint.py",),
    ),
    Mutation(
        "SIGTERM is not handled",
        "cvexp/training/signals.py",
        '("SIGINT", "SIGTERM", "SIGHUP")',
        '("SIGINT", "SIGHUP")',
        ("tests/faults/test_stops.py::test_a_signal_ends_the_training_between_two_steps",),
    ),
    Mutation(
        "a figure's timestamp is that of its delivery",
        "cvexp/tracking/mlflow_sink.py",
        "Metric(key, value, at, step, *about)",
        'Metric(key, value, __import__("time").time_ns() // 10**6, step, *about)',
        ("tests/tracking/test_mlflow_sink.py",),
    ),
    Mutation(
        "a run is created without looking for it",
        "cvexp/tracking/mlflow_sink.py",
        "next(iter(known), None) or client.create_run(",
        "client.create_run(",
        ("tests/tracking/test_mlflow_sink.py",),
    ),
    Mutation(
        "a key may be recorded twice",
        "cvexp/tracking/journal.py",
        "        if key in self._keys:\n            return False\n",
        "",
        ("tests/tracking/test_journal.py",),
    ),
    Mutation(
        "records are sent before the journal is flushed",
        "cvexp/tracking/sender.py",
        "                self._journal.flush()\n",
        "",
        ("tests/tracking/test_sender.py",),
    ),
    Mutation(
        "a checkpoint is written before the journal is flushed",
        "cvexp/training/checkpoints.py",
        "        self._before_write()\n",
        "",
        ("tests/jobs/test_resume.py",),
    ),
    Mutation(
        "the deadline never comes",
        "cvexp/tracking/deadline.py",
        "            if counts and self.left <= 0:",
        "            if counts and self.left <= -60:",
        ("tests/tracking/test_sender.py",),
    ),
    Mutation(
        "a loss that is no number goes on",
        "cvexp/engine/fit.py",
        "        if self._config.allow_nan:",
        "        if True:",
        ("tests/engine/test_resume.py",),
    ),
    Mutation(
        "native loops are not compared with Python's",
        "cvexp/engine/backends/captured.py",
        "                if not are_equal(",
        "                if False and not are_equal(",
        ("tests/engine/test_python_in_forward.py", "tests/engine/backends/test_backends.py"),
    ),
    Mutation(
        "Python state that changes from step to step is not noticed",
        "cvexp/engine/python_state.py",
        "        if last and now != last:",
        "        if False:",
        ("tests/engine/test_python_in_forward.py",),
    ),
    Mutation(
        "a journal is delivered to whatever store is in use",
        "cvexp/tracking/local.py",
        "    return journal.address == address_of(",
        "    return True or journal.address == address_of(",
        ("tests/tracking/test_recovery.py",),
    ),
    Mutation(
        "the paths of a journal are not checked",
        "cvexp/tracking/records.py",
        "    if isinstance(event, FilesStored | ModelStored) and not _is_inside(path):",
        "    if False:",
        ("tests/tracking/test_journal.py",),
    ),
    Mutation(
        "whoever reads a journal cuts off its last line",
        "cvexp/tracking/records.py",
        '        if last and not line.endswith(b"\\n"):\n            break\n',
        '        if last and not line.endswith(b"\\n"):\n'
        '            file.open("r+b").truncate(end)\n            break\n',
        ("tests/tracking/test_journal.py",),
    ),
    Mutation(
        "frozen parts follow the model into training mode",
        "cvexp/models/freeze.py",
        "type(module).train(module, False)",
        "type(module).train(module, mode)",
        ("tests/models/test_freeze.py",),
    ),
)


PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider")
ANY, NAMED = "not full and not campaign", "not full"
"""What is run of a file, slow tests too, since those alone notice some mutations; and of tests that are named."""


def red(mutation: Mutation, copy: Path) -> bool:
    """Whether a test fails once the mutation is in the copy; the copy is mended afterwards."""
    file = copy / mutation.file
    whole = file.read_text()
    if whole.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.name}: {mutation.file} has changed, mend this list")
    file.write_text(whole.replace(mutation.old, mutation.new))
    try:
        done = subprocess.run(
            [*PYTEST, "-m", NAMED if "::" in mutation.tests[0] else ANY, *mutation.tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.write_text(whole)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: the tests could not be run\n{done.stdout[-2000:]}")
    return done.returncode == 1


def main() -> int:
    """Try every mutation."""
    survived = 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        unwanted = shutil.ignore_patterns(".git", ".venv", "mlruns", ".cvexp", "__pycache__", "*.db", ".*cache")
        shutil.copytree(ROOT, copy, ignore=unwanted)
        print("| safeguard removed | tests | red |\n|---|---|---|", flush=True)
        for mutation in MUTATIONS:
            noticed = red(mutation, copy)
            survived += not noticed
            print(f"| {mutation.name} | {', '.join(mutation.tests)} | {'yes' if noticed else '**no**'} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
