"""How an export is shown."""

from typing import Any

from cvexp.jobs.export import ExportResult
from cvexp.report.terminal import cell, console, hint, say


def show(result: ExportResult) -> None:
    """Print where the file is, and that it was read back."""
    path = cell(result.path, "bold").append(f"  {result.n_bytes:,} bytes, {result.format}")
    console().print(path, soft_wrap=True)
    say(f"{result.card}  what it takes to rebuild the model")
    how = "the same logits, bit for bit," if result.identical else "the same logits, within torch.isclose,"
    say(f"reloaded: {how} on {result.n_compared:,} test images")
    hint(result.note)


def document(result: ExportResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "path": result.path,
        "card": result.card,
        "format": result.format,
        "sha256": result.sha256,
        "bytes": result.n_bytes,
        "compared_images": result.n_compared,
        "identical": result.identical,
        "note": result.note,
    }
