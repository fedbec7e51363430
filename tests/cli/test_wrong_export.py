"""Wrong uses of `cvexp export`: at most three plain lines, exit code 2, and no file."""

from __future__ import annotations

import shutil

import pytest

from cvexp.tracking.store import open_store
from tests.faults.answering import check_refusal

pytestmark = pytest.mark.slow

WRONG = {
    "unknown format": (("IT", "--format", "safetensor"), "did you mean 'safetensors'"),
    "one unknown format of two": (("IT", "--format", "state-dict,onxx"), "'onxx'"),
    "one unknown format of two flags": (("IT", "--format", "state-dict", "--format", "ptt"), "'ptt'"),
    "no format": (("IT", "--format", ""), "unknown export format: ''"),
    "a comma too many": (("IT", "--format", "state-dict,"), "unknown export format: ''"),
    "some and all formats": (("IT", "--format", "state-dict", "--all"), "--format and --all"),
    "unknown quantisation": (("IT", "--quantize", "int4"), "--quantize int4"),
    "int8 weights": (("IT", "--quantize", "int8"), "--quantize means nothing for .pt"),
    "int8 safetensors": (("IT", "--format", "safetensors", "--quantize", "int8"), "--quantize means nothing"),
    "raw weights": (("IT", "--raw"), "--raw means nothing for .pt"),
    "raw and int8": (("IT", "--raw", "--quantize", "int8"), "--raw and --quantize"),
    "keeping what is not written": (("IT", "--keep-slower"), "--keep-slower"),
    "int8 without timing": (("IT", "--quantize", "int8", "--no-bench"), "--no-bench"),
    "negative tolerance": (("IT", "--tolerance", "-1"), "--tolerance -1"),
    "tolerance of everything": (("IT", "--tolerance", "100"), "--tolerance 100"),
    "tolerance that is no number": (("IT", "--tolerance", "nan"), "--tolerance nan"),
    "tolerance in words": (("IT", "--tolerance", "some"), "some"),
    "ending of another format": (("IT", "--out", "x.safetensors"), "--out x.safetensors does not end in .pt"),
    "no ending": (("IT", "--out", "x"), "--out x does not end in .pt"),
    "one file for two formats": (("IT", "--format", "state-dict,safetensors", "--out", "x.pt"), "name a folder"),
    "a file as the folder": (("IT", "--all", "--out", "bare.txt"), "--out bare.txt names a file"),
    "export to nowhere": (("IT", "--out", "/proc/nowhere/x.pt"), "/proc/nowhere"),
    "export into a file": (("IT", "--out", "bare.txt/x.pt"), "bare.txt"),
    "run that is not there": (("nobody",), "'nobody'"),
    "two runs": (("IT", "IT"), "IT"),
    "run without weights": (("bare",), "no weights"),
    "file that is not there": (("models/none.pt",), "models/none.pt"),
    "file without a card": (("alone.pt",), "alone.pt.json"),
    "file with another's card": (("swapped.pt",), "damaged or altered weights: swapped.pt"),
    "model of nobody's": (("IT", "--model", "no_such_module:net"), "no_such_module"),
}


@pytest.fixture(scope="module")
def _prepared(_lab):
    """A run that ended before it had weights, a file without a card, one with another's, and one that is text."""
    from cvexp.jobs import export
    from cvexp.jobs.export_plan import Wanted
    from cvexp.tracking.outbox import open_run
    from cvexp.tracking.queries import search

    store, folder = open_store(_lab.settings, create=False), _lab.folder
    with open_run(store.settings, model="linear", name="bare", tags={"cvexp.version": "0"}):
        pass
    for name in ("linear", "mlp"):
        wanted = Wanted(out=folder / f"{name}.pt")
        export.run(_lab.runs[name].run_id, _lab.settings, data_dir=folder / "data", wanted=wanted)
    shutil.copy(folder / "linear.pt", folder / "alone.pt")
    shutil.copy(folder / "linear.pt", folder / "swapped.pt")
    shutil.copy(folder / "mlp.pt.json", folder / "swapped.pt.json")
    (folder / "bare.txt").write_text("text")
    yield
    store.client.delete_run(search(store, where='attributes.run_name = "bare"')[0].run_id)


@pytest.mark.usefixtures("_prepared")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_explained_in_three_lines_and_leaves_no_file(name, cvexp, lab):
    words, named = WRONG[name]
    words = tuple(lab.runs["linear"].run_id if word == "IT" else word for word in words)
    named = lab.runs["linear"].run_id if named == "IT" else named
    before = sorted(lab.folder.rglob("*"))
    wrong = cvexp("export", *words)
    check_refusal(wrong.code, wrong.stdout, wrong.stderr, named)
    assert [path for path in sorted(lab.folder.rglob("*")) if path not in before and path.name != "models"] == []
