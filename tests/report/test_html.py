"""The report as one file: valid, self-contained, harmless whatever the store says, with the figures of the JSON."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from cvexp.report.html.elements import Html, element, page, text

VOID = {"meta", "img", "br"}
EVIL = '<script>alert("x")</script>'
BENCH = json.dumps({"device": "cpu", "device_name": "a CPU", "threads": 1, "batch": [1, 256], "busy": ""})


class Page(HTMLParser):
    """Reads a document, and refuses one whose elements are not closed in order or whose ids are not unique."""

    def __init__(self, document):
        super().__init__(convert_charrefs=True)
        self.open, self.seen, self.attributes, self.texts, self.rows = [], [], [], [], []
        self.feed(document)
        self.close()
        assert self.open == []
        ids = [value for name, value in self.attributes if name == "id"]
        assert len(ids) == len(set(ids))

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs))
        self.seen.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
            if {"td", "th"} & set(self.open) and self.rows:
                self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(self.texts)


def figures(accuracy, seconds=2.0, latency=0.2):
    return {
        "test/accuracy": accuracy,
        "test/loss": 0.5,
        "time/train_seconds": seconds,
        "bench/latency_ms": latency,
        "model/parameters": 7850.0,
    }


@pytest.fixture
def repeats(record):
    """Three seeds of two recipes, one of them on the front alone."""
    for seed in range(3):
        tags = {"cvexp.bench": BENCH, "cvexp.device_name": "a CPU", "mlflow.source.git.commit": "0123456789abcdef" * 2}
        record(f"small {seed}", figures=figures(0.8 + seed / 100), seed=seed, tags={**tags, "cvexp.recipe": "aaaa"})
        record(
            f"large {seed}",
            figures=figures(0.9 + seed / 100, 9.0, 0.9),
            seed=seed,
            lr=0.2,
            tags={**tags, "cvexp.recipe": "bbbb"},
        )


def test_the_report_has_the_figures_of_the_json_and_says_how_they_were_measured(repeats, cvexp):
    written = cvexp("compare", "--format", "html", "--pick")
    assert written.code == 0, written.stderr
    report = Page(written.stdout)
    document = cvexp("compare", "--json", "--pick").document
    rows = [" | ".join(row) for row in report.rows]
    for group in document["groups"]:
        accuracy = group["metrics"]["test/accuracy"]
        half = 100 * (accuracy["high"] - accuracy["mean"])
        shown = f"{100 * accuracy['mean']:.1f} ± {half:.1f} (n=3)"
        assert any(shown in row for row in rows), shown
    for verdict in document["verdicts"]:
        assert verdict["text"] in report.text
    assert document["pick"]["label"] in report.text
    for run in document["runs"]:
        assert sum(run["run_id"] in row and run["run_name"] in row for row in rows) == 1
    for said in ("0123456789ab", "95% t interval", "Wall-clock seconds of the training steps", "batch 1", "digits"):
        assert said in report.text


def test_every_panel_is_a_picture_with_its_content_in_words(repeats, cvexp):
    report = Page(cvexp("compare", "--format", "html").stdout)
    pictures = [value for name, value in report.attributes if name == "src"]
    assert len(pictures) == 2
    for source in pictures:
        assert base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).startswith(b"<?xml")
    words = [value for name, value in report.attributes if name == "alt"]
    assert ["training time (seconds)" in words[0], "latency of one image (ms)" in words[1]] == [True, True]
    assert all("on the front" in one and "91.00%" in one for one in words)


def test_what_is_missing_to_show_images_gained_and_lost_is_said(repeats, cvexp):
    report = Page(cvexp("compare", "--format", "html").stdout)
    assert "Images gained and lost: from " in report.text
    assert "need per-image predictions of both; add them: cvexp evaluate RUN --store" in report.text


def test_the_report_loads_and_runs_nothing(repeats, cvexp):
    written = cvexp("compare", "--format", "html").stdout
    report = Page(written)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & set(report.seen)
    outside = re.sub(r"base64,[A-Za-z0-9+/=]+", "", written)
    assert "://" not in outside
    assert "url(" not in outside
    assert not [name for name, _ in report.attributes if name.startswith("on")]
    assert any("default-src 'none'" in str(value) for _, value in report.attributes)
    assert written.isascii()


def test_text_from_the_store_is_text_in_the_report(record, cvexp):
    tags = {
        "cvexp.device_name": f'" onload="{EVIL}',
        "cvexp.versions.torch": "</td></table><img src=x onerror=alert(1)>",
    }
    record(EVIL, figures=figures(0.9), tags=tags)
    record(
        "--> <!-- \x1b[31m \u202e $x^2$", figures=figures(0.8), lr=0.2, tags={"mlflow.source.git.commit": "</style>"}
    )
    written = cvexp("compare", "--format", "html")
    assert written.code == 0, written.stderr
    report = Page(written.stdout)
    assert EVIL in report.text
    assert "\x1b" not in written.stdout
    assert "&#8238;" not in written.stdout  # the right-to-left override
    assert "script" not in report.seen
    assert report.seen.count("style") == 1
    assert not [name for name, _ in report.attributes if name.startswith("on")]
    for source in re.findall(r"base64,([A-Za-z0-9+/=]+)", written.stdout):
        assert b"<script" not in base64.b64decode(source)


def test_an_experiment_without_runs_gives_a_valid_page_that_says_so(record, cvexp):
    written = cvexp("compare", "--format", "html")
    assert written.code == 0
    assert "No run here matches." in Page(written.stdout).text


def test_a_pair_is_shown_side_by_side(record, cvexp):
    record("old", figures=figures(0.8))
    record("new", figures=figures(0.9), lr=0.2)
    report = Page(cvexp("compare", "old", "new", "--format", "html").stdout)
    assert "old and new side by side" in report.text
    assert ["setting", "lr", "0.1", "0.2"] in report.rows


def test_markup_is_escaped_unless_it_was_made_here():
    assert text("<b> & 'x'") == "&lt;b&gt; &amp; &#x27;x&#x27;"
    assert text(Html("<b>")) == "<b>"
    assert element("p", "<", element("br"), class_='a"b', title=None) == '<p class="a&quot;b">&lt;<br></p>'
    Page(page("<title>", element("p", "ü")))
