"""How an export is shown: every figure on 80 columns, and every file that is missing with the reason."""

from __future__ import annotations

import json

import pytest

from cvexp.jobs.export_plan import LeftOut
from cvexp.report import export as report
from cvexp.report.terminal import print_json
from tests.exported import file_of, result_of, times

ONNX = file_of("torch-export", latency=times(0.054), load_ms=12.3, peak_bytes=231_000_000)
SLOW = file_of(
    "onnx-int8",
    path=None,
    card=None,
    latency=times(0.0761),
    load_ms=9.0,
    peak_bytes=230_000_000,
    n_ties=2,
    top1_agreement=0.99996,
    accuracy_difference=-0.0008,
    accuracy_interval=(-0.0030, 0.0014),
    kept=False,
    reason="it takes 1.41 (1.40 to 1.42) times as long as fp32",
)
MISSING = LeftOut(kind="openvino", reason="openvino is not installed")


@pytest.fixture
def shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def lines(result):
        report.show(result)
        return capsys.readouterr().out.splitlines()

    return lines


def test_every_figure_fits_eighty_columns(shown):
    lines = shown(result_of(ONNX, SLOW, own_latency=times(0.31), n_calibration=500, left_out=(MISSING,)))
    rows = [line.split() for line in lines]
    assert max(len(line) for line in lines if "─" in line) <= 80
    assert "models/tinyvgg.torch-export  52,320 bytes, torch-export" in lines
    assert ["torch-export", "100%", "9.5e-07", "87.18%", "+0.00", "(-0.02", "to", "+0.02)"] in rows
    assert ["onnx-int8", "99.99%", "9.5e-07", "87.18%", "-0.08", "(-0.30", "to", "+0.14)"] in rows
    assert ["the", "run", "0.310", "0.341", "0.372", "1"] in rows
    assert ["torch-export", "0.0540", "0.0594", "0.0648", "0.17", "52.3", "kB", "12.3", "231", "MB"] in rows


def test_what_is_missing_is_said_with_the_reason(shown):
    text = "\n".join(shown(result_of(ONNX, SLOW, own_latency=times(0.31), left_out=(MISSING,))))
    assert "onnx-int8 is not kept: it takes 1.41 (1.40 to 1.42) times as long as fp32 (--keep-slower keeps it)" in text
    assert "openvino is left out: openvino is not installed" in text
    assert "2 ties count as the same class" in text


def test_a_share_reads_as_all_only_where_it_is():
    assert report._share(1.0) == "100%"
    assert report._share(0.99999) == "99.99%"
    assert report._share(0.5) == "50.00%"


def test_weights_that_are_the_same_bit_for_bit_take_three_lines(shown):
    file = file_of("state-dict", identical=True, max_logit_difference=0.0)
    assert shown(result_of(file)) == [
        "models/tinyvgg.state-dict  52,320 bytes, state-dict",
        "models/tinyvgg.state-dict.json  what it takes to rebuild the model",
        "reloaded: the same logits, bit for bit, on 10,000 test images",
    ]


def test_the_document_has_every_file_and_one_alone_at_the_top_too(capsys):
    print_json(report.document(result_of(ONNX, SLOW, own_latency=times(0.31), left_out=(MISSING,))))
    several = json.loads(capsys.readouterr().out)
    one, other = several["files"]
    assert one["latency_ms"] == pytest.approx({"p50": 0.054, "p90": 0.0594, "p95": 0.0648})
    assert (one["bytes"], one["peak_memory"], one["passed"], one["reason"]) == (52_320, 231_000_000, True, None)
    assert (other["path"], other["kept"], other["accuracy_interval"]) == (None, False, [-0.003, 0.0014])
    assert several["left_out"] == [{"kind": "openvino", "reason": "openvino is not installed"}]
    assert "path" not in several
    print_json(report.document(result_of(file_of("onnx", max_logit_difference=float("inf"), passed=False))))
    alone = json.loads(capsys.readouterr().out)
    assert (alone["path"], alone["format"], alone["sha256"]) == ("models/tinyvgg.onnx", "onnx", "0" * 64)
    assert (alone["files"][0]["max_logit_difference"], alone["files"][0]["latency_ms"]) == (None, None)
