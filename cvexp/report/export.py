"""How an export is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, hint

if TYPE_CHECKING:
    from cvexp.jobs.export import ExportResult


def show(result: ExportResult) -> None:
    """Print where the file is, and that it was read back."""
    out = console()
    out.print(cell(f"{result.path}", "bold").append(f"  {result.n_bytes:,} bytes, {result.format}"), soft_wrap=True)
    out.print(cell(f"{result.card}  what it takes to rebuild the model"), soft_wrap=True)
    how = "the same logits, bit for bit," if result.identical else "the same logits, within torch.isclose,"
    out.print(cell(f"reloaded: {how} on {result.n_compared:,} test images"), soft_wrap=True)
    if result.note:
        hint(result.note)


def document(result: ExportResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "path": str(result.path),
        "card": str(result.card),
        "format": result.format,
        "sha256": result.sha256,
        "bytes": result.n_bytes,
        "compared_images": result.n_compared,
        "identical": result.identical,
        "note": result.note,
    }
