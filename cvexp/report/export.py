"""How an export is shown: the files, what they answer beside the run's own model, and what they cost."""

from typing import Any

from rich.table import Table

from cvexp.export.parity import TIE
from cvexp.inference.latency.times import ModelTimes
from cvexp.jobs.exported import ExportedFile, ExportResult
from cvexp.report.bench import figure
from cvexp.report.terminal import cell, console, hint, say, table

OWN = "the run"
UNIT, PREFIXES = 1000, ("bytes", "kB", "MB", "GB")


def show(result: ExportResult) -> None:
    """Print where the files are, how each compares with the run's own model, and why any is missing."""
    kept = [one for one in result.files if one.kept]
    for one in kept:
        path = cell(one.path, "bold").append(f"  {one.n_bytes:,} bytes, {one.kind}")
        console().print(path, soft_wrap=True)
    if len(kept) == 1:
        say(f"{kept[0].card}  what it takes to rebuild the model")
    elif kept:
        say("beside each: .json, what it takes to rebuild the model")
    if kept and len(kept) == len(result.files) and all(one.identical and one.latency is None for one in kept):
        say(f"reloaded: the same logits, bit for bit, on {result.n_images:,} test images")
    else:
        _show_tables(result)
    if result.model_card is not None:
        say(f"{result.model_card}  the model card")
    for one in result.files:
        if one.passed and not one.kept:
            say(f"{one.kind} is not kept: {one.reason} (--keep-slower keeps it)")
    for missing in result.left_out:
        if not missing.extra:
            say(f"{missing.kind} is left out: {missing.reason}")
    extras = sorted({one.extra for one in result.left_out if one.extra})
    hint(
        f"left out, not installed: {', '.join(extras)}   (pip install 'cvexp[{','.join(extras)}]')" if extras else None,
        result.note,
        f"logged to run {result.name}" if result.logged else None,
    )


def _show_tables(result: ExportResult) -> None:
    console().print(_answers(result))
    say(f"on all {result.n_images:,} test images; in brackets the 95% interval, paired by image", "dim")
    if n_ties := sum(one.n_ties for one in result.files):
        say(f"{n_ties:,} ties count as the same class: the two logits are within {TIE:g} of each other", "dim")
    if result.n_calibration:
        say(f"int8 ranges are of {result.n_calibration:,} training images", "dim")
    if result.own_latency is not None:
        console().print(_costs(result, result.own_latency))
        busy = "; machine busy, so the figures do not rank" if result.busy else ""
        say(f"timed in turns, one image a call, on {result.device}: {result.device_name}, 1 thread{busy}", "dim")
        say("ratio: of p50; load: runtime imported; memory: peak of a new process, with all it imports", "dim")


def _answers(result: ExportResult) -> Table:
    """Every file's answers on the test split."""
    made = table("", ">same class", ">logits by", ">test acc", ">less the run's, points")
    made.add_row(OWN, "", "", f"{result.accuracy:.2%}", "")
    for one in result.files:
        low, high = one.accuracy_interval
        spread = f"{100 * one.accuracy_difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
        cells = (one.kind, _share(one.top1_agreement), f"{one.max_logit_difference:.1e}", f"{one.accuracy:.2%}", spread)
        made.add_row(*(cell(text, "" if one.passed else "bold red") for text in cells))
    return made


def _share(value: float) -> str:
    """A share in percent that reads as 100 only where it is."""
    return "100%" if value == 1 else f"{min(value, 0.9999):.2%}"


def _costs(result: ExportResult, own: ModelTimes) -> Table:
    """Every file's size and times."""
    made = table("", ">p50, ms", ">p90", ">p95", ">ratio", ">size", ">load, ms", ">memory")
    made.add_row(OWN, *_latency(own), "1", "", "", "")
    for one in result.files:
        if one.latency is not None:
            ratio = f"{one.latency.p50.value / own.p50.value:.2f}"
            load = "" if one.load_ms is None else figure(one.load_ms)
            memory = "" if one.peak_bytes is None else _size(one.peak_bytes)
            made.add_row(one.kind, *_latency(one.latency), ratio, _size(one.n_bytes), load, memory)
    return made


def _latency(times: ModelTimes) -> tuple[str, str, str]:
    return figure(times.p50.value), figure(times.p90.value), figure(times.p95.value)


def _size(n_bytes: float) -> str:
    for prefix in PREFIXES:
        if n_bytes < UNIT or prefix == PREFIXES[-1]:
            break
        n_bytes /= UNIT
    return f"{n_bytes:.3g} {prefix}"


def document(result: ExportResult) -> dict[str, Any]:
    """The result for `--json`; one file that was asked for alone also has its fields at the top, as before."""
    files = [_file(one) for one in result.files]
    alone = files[0] if len(files) == 1 and not result.left_out else {}
    own = result.own_latency
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        **{name: alone[name] for name in ("path", "card", "format", "sha256", "bytes", "identical") if alone},
        "dataset": result.dataset,
        "compared_images": result.n_images,
        "accuracy": result.accuracy,
        "latency_ms": None if own is None else _milliseconds(own),
        "files": files,
        "left_out": [{"kind": one.kind, "reason": one.reason} for one in result.left_out],
        "device": result.device,
        "device_name": result.device_name,
        "threads": result.threads,
        "busy": result.busy,
        "calibration_images": result.n_calibration,
        "measured_at": result.measured_at,
        "logged": result.logged,
        "trouble": result.trouble or None,
        "note": result.note,
        "model_card": result.model_card,
    }


def _file(one: ExportedFile) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "format": one.format,
        "path": one.path,
        "card": one.card,
        "bytes": one.n_bytes,
        "sha256": one.sha256,
        "identical": one.identical,
        "max_logit_difference": one.max_logit_difference,
        "top1_agreement": one.top1_agreement,
        "ties": one.n_ties,
        "accuracy": one.accuracy,
        "accuracy_difference": one.accuracy_difference,
        "accuracy_interval": list(one.accuracy_interval),
        "latency_ms": None if one.latency is None else _milliseconds(one.latency),
        "load_ms": one.load_ms,
        "peak_memory": one.peak_bytes,
        "passed": one.passed,
        "kept": one.kept,
        "reason": one.reason or None,
    }


def _milliseconds(times: ModelTimes) -> dict[str, float]:
    return {"p50": times.p50.value, "p90": times.p90.value, "p95": times.p95.value}
