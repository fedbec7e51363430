"""Bad input of every kind: told in three lines with what it was and what to do, at once, and no run is left behind."""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.error
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as safetensors

from cvexp.data.idx import header
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from tests.faults import own_images
from tests.faults.answering import answering, check_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 5
IMAGES = "train-images-idx3-ubyte"
IMAGES_SHAPE = (60000, 28, 28)
IMAGES_BYTES = 16 + 60000 * 28 * 28
IDX = (IMAGES, "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TRAIN = ("train", "linear", "--dataset", "digits")
RESUME = ("train", "--resume", "RESUMABLE", "--epochs", "3")


@dataclass(frozen=True)
class Row:
    """A bad input: the command, what its message has to name, and what makes the input.

    `prepare` is called in an empty working folder with the bench; it may give the tracking URI.
    """

    words: tuple[str, ...]
    named: tuple[str, ...]
    prepare: Callable[[Bench], str | None] = lambda _bench: None
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Bench:
    """A store with sound runs, damaged ones, and one that can be resumed; and sound exported files to damage."""

    folder: Path
    uri: str
    linear: str
    resumable: str
    exported: Path

    @property
    def run_folder(self) -> Path:
        return self.folder / ".cvexp" / "runs" / self.resumable

    @property
    def checkpoint(self) -> Path:
        (file,) = (self.run_folder / "checkpoints").glob("*.pt")
        return file


# ---- Files in general


def text(_content):
    return b"These are no weights.\n"


def empty(_content):
    return b""


def cut(share):
    return lambda content: content[: int(len(content) * share)]


def cut_by_one(content):
    return content[:-1]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def torch_file(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def squeezed(content):
    """The same archive with its members compressed, as a bomb has them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return packed.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def written(name, content):
    """Put `content` at `name` in the working folder."""

    def prepare(_bench):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content() if callable(content) else content)

    return prepare


# ---- Datasets


def idx(content, *, suffix="", folder="data"):
    """The four files of Fashion-MNIST's layout, the training images with `content`."""

    def prepare(_bench):
        Path(folder).mkdir()
        for name in IDX:
            (Path(folder) / (name + suffix)).write_bytes(b"")
        content(Path(folder) / (IMAGES + suffix))

    return prepare


def of_size(start, n_bytes=IMAGES_BYTES):
    """A file that starts so, and goes on in zeros, which take no room on the disk."""

    def write(path):
        with path.open("wb") as stream:
            stream.write(start)
            stream.truncate(n_bytes)

    return write


def packed(n_bytes, damage=lambda content: content):
    content = header(IMAGES_SHAPE) + bytes(n_bytes - 16)
    return lambda path: path.write_bytes(damage(gzip.compress(content, 1)))


def batches(content):
    """CIFAR-10's layout with one batch."""

    def prepare(_bench):
        Path("data/cifar-10-batches-py").mkdir(parents=True)
        Path("data/cifar-10-batches-py/data_batch_1").write_bytes(content)

    return prepare


FASHION = ("train", "linear", "--data-dir", "data")
KMNIST = (*FASHION, "--dataset", "kmnist")
CIFAR = (*FASHION, "--dataset", "cifar10")
DELETE = "delete it, then run: cvexp data"
DATASETS = {
    "empty idx file": Row(FASHION, (f"data/{IMAGES}:", "0 bytes", DELETE), idx(of_size(b"", 0))),
    "empty gzip file": Row(FASHION, (f"{IMAGES}.gz", "0 bytes", DELETE), idx(of_size(b"", 0), suffix=".gz")),
    "idx file cut short": Row(FASHION, (IMAGES, "1,000,000 bytes", DELETE), idx(of_size(header(IMAGES_SHAPE), 10**6))),
    "idx file that goes on": Row(
        FASHION, (IMAGES, "more than 47,040,016", DELETE), idx(of_size(header(IMAGES_SHAPE), 2 * IMAGES_BYTES))
    ),
    "idx file of another magic": Row(FASHION, (IMAGES, "header", DELETE), idx(of_size(b"\x89PNG"))),
    "idx file of floats": Row(FASHION, (IMAGES, "header", DELETE), idx(of_size(struct.pack(">HBB", 0, 13, 3)))),
    "idx file of other dimensions": Row(FASHION, (IMAGES, "header", DELETE), idx(of_size(header((60000, 14, 56))))),
    "idx file of another digest": Row(FASHION, (IMAGES, "sha256", DELETE), idx(of_size(header(IMAGES_SHAPE)))),
    "gzip file that is none": Row(FASHION, (f"{IMAGES}.gz", DELETE), idx(of_size(b"plain", 9), suffix=".gz")),
    "gzip file cut short": Row(FASHION, (f"{IMAGES}.gz", DELETE), idx(packed(10**5, cut(0.5)), suffix=".gz")),
    "gzip file with a flipped bit": Row(FASHION, (f"{IMAGES}.gz", DELETE), idx(packed(10**5, flipped), suffix=".gz")),
    "gzip file that swells": Row(
        FASHION, (f"{IMAGES}.gz", "more than 47,040,016", DELETE), idx(packed(IMAGES_BYTES + 10**6), suffix=".gz")
    ),
    "packed file of another digest": Row(
        KMNIST, (f"{IMAGES}.gz", "sha256", DELETE), idx(packed(IMAGES_BYTES), suffix=".gz")
    ),
    "control characters in a folder's name": Row(
        ("train", "linear", "--data-dir", "da\x1b[31mta ü"),
        ("da\ufffd[31mta ü", "0 bytes", DELETE),
        idx(of_size(b"", 0), folder="da\x1b[31mta ü"),
    ),
    "bytes that are no text in a folder's name": Row(
        ("train", "linear", "--data-dir", os.fsdecode(b"da\xffta")),
        ("da\ufffdta", "0 bytes", DELETE),
        idx(of_size(b"", 0), folder=os.fsdecode(b"da\xffta")),
    ),
    "empty batch": Row(CIFAR, ("data_batch_1", "md5", DELETE), batches(b"")),
    "batch that is another pickle": Row(CIFAR, ("data_batch_1", "md5", DELETE), batches(b"\x80\x04K\x01.")),
    "data folder that is a file": Row(FASHION, ("data", "--data-dir"), written("data", b"")),
    "data folder without data or network": Row(FASHION, ("fashion-mnist is not in data", "--dataset mnist-5k")),
    "data folder of a name too long": Row(
        ("train", "linear", "--data-dir", "x" * 300), ("x" * 300, "too long"), lambda _bench: None
    ),
    "damaged data for evaluation": Row(
        ("evaluate", "LINEAR", "--dataset", "fashion-mnist", "--data-dir", "data"),
        (IMAGES, DELETE),
        idx(of_size(b"", 0)),
    ),
    "damaged data to look at": Row(
        ("data", "fashion-mnist", "--data-dir", "data"), (IMAGES, DELETE), idx(of_size(b"", 0))
    ),
}


# ---- Image files


def picture(kind, damage=lambda content: content, *, size=64, mode="L"):
    pixels = np.random.default_rng(1).integers(0, 256, (size, size), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return damage(buffer.getvalue())


def png_of(width, height):
    """A PNG that says it is so large."""
    whole = bytearray(picture("PNG"))
    whole[16:24] = struct.pack(">II", width, height)
    import zlib

    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


def predict(name, content, *named):
    return Row(("predict", "LINEAR", name), (name, *named), written(name, content))


def folder_at(name):
    return lambda _bench: Path(name).mkdir()


READABLE = "PNG, JPEG"
PICTURES = {
    "empty image": predict("empty.png", b"", "not an image", READABLE),
    "image that is HTML": predict("page.jpg", b"<!doctype html><p>404", "not an image", READABLE),
    "image that is a PDF": predict("scan.pdf", b"%PDF-1.7\n", "not an image", READABLE),
    "PNG cut in its header": predict("cut.png", picture("PNG", cut(0.005)), "image"),
    "PNG cut in its pixels": predict("half.png", picture("PNG", cut(0.5)), "unreadable image", "complete"),
    "PNG with a flipped bit": predict("flipped.png", picture("PNG", flipped), "unreadable image", "complete"),
    "JPEG cut short": predict("half.jpg", picture("JPEG", cut(0.5)), "unreadable image", "complete"),
    "GIF cut short": predict("half.gif", picture("GIF", cut(0.5)), "unreadable image", "complete"),
    "TIFF cut short": predict("half.tiff", picture("TIFF", cut(0.5)), "half.tiff"),
    "TIFF of rubbish": predict("x.tiff", b"II*\x00" + bytes(range(256)), "x.tiff"),
    "WebP cut short": predict("half.webp", picture("WEBP", cut(0.5)), "half.webp"),
    "decompression bomb": predict("bomb.png", png_of(50_000, 50_000), "too large", "make it smaller"),
    "image without a pixel": predict("nothing.png", png_of(0, 0), "nothing.png"),
    "image with a space and an umlaut in its name": predict("mein Bild ü.png", b"x", "not an image", READABLE),
    "image with control characters in its name": Row(
        ("predict", "LINEAR", "\x1b]0;x\x07\n.png"), ("\ufffd]0;x\ufffd", READABLE), written("\x1b]0;x\x07\n.png", b"x")
    ),
    "image with a name too long": Row(("predict", "LINEAR", "x" * 300 + ".png"), ("x" * 300, "too long")),
    "folder as an image": Row(("predict", "LINEAR", "pictures"), ("pictures", "not folders"), folder_at("pictures")),
    "device as an image": Row(("predict", "LINEAR", "/dev/zero"), ("/dev/zero", "not a file")),
    "pipe as an image": Row(("predict", "LINEAR", "pipe.png"), ("pipe.png",), lambda _bench: os.mkfifo("pipe.png")),
    "several bad images": Row(
        ("predict", "LINEAR", "a.png", "b.png"), ("a.png", "1 more", "b.png"), written("b.png", b"x")
    ),
}


# ---- Exported files, and the weights of runs


def exported(damage=None, *, suffix=".pt", card=None, signed=False):
    """A sound exported file beside its card, then damaged; `signed` puts the new digest into the card."""

    def prepare(bench):
        file, beside = Path(f"m{suffix}"), Path(f"m{suffix}.json")
        content = (bench.exported / file.name).read_bytes()
        described = json.loads((bench.exported / beside.name).read_text())
        if damage is not None:
            content = damage(content)
        if signed:
            described["spec"]["weights_sha256"] = sha256(content)
        file.write_bytes(content)
        beside.write_bytes(card(described) if card is not None else json.dumps(described).encode())

    return prepare


def changed(*path, to):
    """A card with another value at `path`."""

    def change(card):
        holder = card
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = to
        return json.dumps(card).encode()

    return change


def other_architecture(_content):
    from cvexp.models.architectures import tinyvgg

    return torch_file(tinyvgg((1, 8, 8), 10).state_dict())


def other_shape(content):
    state = torch.load(io.BytesIO(content), weights_only=True)
    return torch_file({name: torch.zeros(*(2 * n for n in value.shape)) for name, value in state.items()})


def weights(verb="evaluate", *named, **how):
    file = f"m{how.get('suffix', '.pt')}"
    more = ("x.png",) if verb == "predict" else ()
    return Row((verb, file, *more), (file, *named), exported(**how))


AGAIN = "restore the file"
EXPORT = "cvexp export RUN"
WEIGHTS = {
    "empty weights": weights("evaluate", "damaged", AGAIN, damage=empty),
    "text for weights": weights("confmat", "damaged", AGAIN, damage=text),
    **{
        f"weights cut at {share:.0%}": weights("predict", "damaged", AGAIN, damage=cut(share))
        for share in (0.01, 0.3, 0.6, 0.9)
    },
    "weights without their last byte": weights("evaluate", "damaged", AGAIN, damage=cut_by_one),
    "weights with a flipped bit": weights("export", "damaged", AGAIN, damage=flipped),
    "safetensors with a flipped bit": weights("evaluate", AGAIN, damage=flipped, suffix=".safetensors"),
    "safetensors cut short": weights("predict", AGAIN, damage=cut(0.5), suffix=".safetensors"),
    "empty weights, signed": weights("evaluate", "read safely", AGAIN, damage=empty, signed=True),
    "text for weights, signed": weights("evaluate", "read safely", AGAIN, damage=text, signed=True),
    "weights cut short, signed": weights("evaluate", "read safely", AGAIN, damage=cut(0.5), signed=True),
    "compressed weights, signed": weights("evaluate", "read safely", AGAIN, damage=squeezed, signed=True),
    "list for weights, signed": weights(
        "evaluate", "list", AGAIN, damage=lambda _content: torch_file([torch.zeros(2)]), signed=True
    ),
    "numbers for tensors, signed": weights(
        "evaluate", "does not fit linear", EXPORT, damage=lambda _content: torch_file({"1.weight": 3}), signed=True
    ),
    "numbers for names, signed": weights(
        "evaluate", "does not fit linear", EXPORT, damage=lambda _content: torch_file({1: torch.zeros(2)}), signed=True
    ),
    "weights of another architecture": weights(
        "evaluate", "does not fit linear", EXPORT, damage=other_architecture, signed=True
    ),
    "weights of another shape": weights("predict", "does not fit linear", EXPORT, damage=other_shape, signed=True),
    "safetensors that is text, signed": weights(
        "evaluate", "no safetensors file", AGAIN, damage=text, signed=True, suffix=".safetensors"
    ),
    "safetensors of another shape": weights(
        "evaluate",
        "does not fit linear",
        EXPORT,
        damage=lambda _content: safetensors({"1.weight": torch.zeros(3, 3)}),
        signed=True,
        suffix=".safetensors",
    ),
    "empty card": weights("evaluate", "m.pt.json", EXPORT, card=lambda _card: b""),
    "card that is no JSON": weights("predict", "m.pt.json", EXPORT, card=lambda _card: b"model: linear"),
    "card that is no text": weights("evaluate", "m.pt.json", EXPORT, card=lambda _card: b"\xff\xfe\x00"),
    "card that is a list": weights("evaluate", "m.pt.json", EXPORT, card=lambda _card: b"[]"),
    "card nested too deep": weights("evaluate", "m.pt.json", EXPORT, card=lambda _card: b"[" * 100_000),
    "card of another version": weights(
        "evaluate", "m.pt.json", "schema_version", EXPORT, card=changed("schema_version", to=3)
    ),
    "card of another format": weights("evaluate", "m.pt.json", "onnx", EXPORT, card=changed("format", to="onnx")),
    "card of an unknown model": Row(
        ("evaluate", "m.pt"), ("linaer", "did you mean 'linear'"), exported(card=changed("spec", "model", to="linaer"))
    ),
    "card that names code": Row(
        ("evaluate", "m.pt"), ("os:system", "--model"), exported(card=changed("spec", "model", to="os:system"))
    ),
    "card of an enormous model": weights(
        "evaluate", "does not fit", EXPORT, card=changed("spec", "hidden_units", to=2**34)
    ),
    "card with a negative width": weights(
        "evaluate", "hidden_units", EXPORT, card=changed("spec", "hidden_units", to=-1)
    ),
    "card with a split of minus one image": weights("evaluate", "limit", EXPORT, card=changed("limit", to=-1)),
    "card with an unknown dataset": Row(
        ("evaluate", "m.pt"),
        ("digitss", "did you mean 'digits'"),
        exported(card=changed("spec", "dataset", to="digitss")),
    ),
    "folder as weights": Row(("evaluate", "m.pt"), ("m.pt", "cvexp export"), folder_at("m.pt")),
}

PLANTED = {
    # name of the run: (what happens to its state_dict.pt, whether the tag has the new digest)
    "planted-empty": (empty, False),
    "planted-cut": (cut(0.5), False),
    "planted-flipped": (flipped, False),
    "planted-text": (text, True),
    "planted-architecture": (other_architecture, True),
    "planted-shape": (other_shape, True),
    "planted-missing": (None, False),
    "planted-spec": (lambda content: content, False),
    "planted-split": (lambda content: content, False),
}
RUNS = {
    "run with empty weights": Row(("evaluate", "planted-empty"), ("state_dict.pt", "damaged", AGAIN)),
    "run with weights cut short": Row(("predict", "planted-cut", "x.png"), ("state_dict.pt", "damaged", AGAIN)),
    "run with a flipped bit": Row(("export", "planted-flipped"), ("state_dict.pt", "damaged", AGAIN)),
    "run with text for weights": Row(("confmat", "planted-text"), ("state_dict.pt", "read safely", AGAIN)),
    "run with another architecture": Row(("evaluate", "planted-architecture"), ("does not fit linear",)),
    "run with another shape": Row(("evaluate", "planted-shape"), ("does not fit linear",)),
    "run without its weights": Row(("evaluate", "planted-missing"), ("state_dict.pt", "No such file", AGAIN)),
    "run with a cut specification": Row(("evaluate", "planted-spec"), ("model.json", AGAIN)),
    "run with a split that is no number": Row(("evaluate", "planted-split"), ("split_seed", "'²'", "train again")),
    "run that another tool logged": Row(("evaluate", "foreign"), ("foreign", "not written by cvexp", "cvexp train")),
    "name with both quotes": Row(("evaluate", "a'b\"c"), ("'a\\'b\"c'", "cvexp compare")),
    "name that would end the filter": Row(("evaluate", 'x" OR "" = "'), ('x" OR "" = "', "cvexp compare")),
    "name with line ends": Row(("evaluate", "x\ny\0z"), ("cvexp compare",)),
    "name that is very long": Row(("evaluate", "y" * 100_000), ("yyy", "cvexp compare")),
    "empty name": Row(("evaluate", ""), ("''", "cvexp compare")),
}


# ---- Checkpoints and what lies beside them


def damaged(what, damage):
    """A file of the resumable run, damaged; its name keeps the digest it had."""

    def prepare(bench):
        file = bench.checkpoint if what == "checkpoint" else bench.run_folder / what
        file.write_bytes(damage(file.read_bytes()))

    return prepare


def replaced(value):
    """A checkpoint that holds something else, with the right digest in its name."""

    def prepare(bench):
        state = torch.load(bench.checkpoint, weights_only=True)
        content = torch_file(value(state))
        file = bench.checkpoint
        file.unlink()
        file.with_name(f"epoch-00002-step-00000000-{sha256(content)}.pt").write_bytes(content)

    return prepare


def without(*path):
    def take(state):
        holder = state
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        return state

    return take


def of_tinyvgg(state):
    from cvexp.models.architectures import tinyvgg

    state["fit"]["state"]["model"] = tinyvgg((1, 8, 8), 10).state_dict()
    return state


def asked(**changes):
    """The request with other values."""

    def change(content):
        request = json.loads(content)
        return json.dumps({**request, **changes, "config": {**request["config"], **changes.get("config", {})}}).encode()

    return change


def first_line(line):
    return lambda content: line + b"\n" + content.partition(b"\n")[2]


def resume(what, damage, *named):
    return Row(RESUME, named, damaged(what, damage))


HISTORY = "checkpoints/history.bin"
CHECKPOINTS = {
    "empty checkpoint": resume("checkpoint", empty, "epoch-0", AGAIN),
    "text for a checkpoint": resume("checkpoint", text, "epoch-0", AGAIN),
    **{
        f"checkpoint cut at {share:.0%}": resume("checkpoint", cut(share), "epoch-0", AGAIN)
        for share in (0.01, 0.5, 0.99)
    },
    "checkpoint without its last byte": resume("checkpoint", cut_by_one, "epoch-0", AGAIN),
    "checkpoint with a flipped bit": resume("checkpoint", flipped, "epoch-0", AGAIN),
    "checkpoint that is a list": Row(RESUME, ("epoch-0", "list", AGAIN), replaced(lambda _state: [1, 2])),
    "checkpoint without a history": Row(RESUME, ("epoch-0", "history"), replaced(without("history"))),
    "history cut short": resume(HISTORY, cut(0.5), "history.bin", "start a new run"),
    "history with a flipped bit": resume(HISTORY, flipped, "history.bin", "start a new run"),
    "checkpoint that counts on too long a history": Row(
        RESUME, ("history.bin",), replaced(lambda state: {**state, "history": {**state["history"], "bytes": 2**40}})
    ),
    "checkpoint with a history of text": Row(
        RESUME, ("epoch-0",), replaced(lambda state: {**state, "history": ["once upon a time"]})
    ),
    "checkpoint without an optimizer": Row(RESUME, ("epoch-0",), replaced(without("fit", "state", "slots"))),
    "checkpoint of another architecture": Row(RESUME, ("does not fit", "start a new run"), replaced(of_tinyvgg)),
    "empty request": resume("request.json", empty, "request.json", "start a new run"),
    "request cut short": resume("request.json", cut(0.5), "request.json", "start a new run"),
    "request that is no text": resume("request.json", lambda _c: b"\xff\xfe", "request.json", "start a new run"),
    "request that is a list": resume("request.json", lambda _c: b"[]", "request.json", "start a new run"),
    "request with a wrong value": resume("request.json", asked(config={"epochs": 0}), "--epochs 0"),
    "request with an unknown key": resume("request.json", asked(config={"epoch": 1}), "'epoch'", "did you mean"),
    "request that names code": resume(
        "request.json", asked(config={"model": "os:system"}), "os:system", "if you trust"
    ),
    "request with a threads' number of text": resume(
        "request.json", asked(threads="many"), "request.json", "start a new run"
    ),
    "journal with a line of text": resume("journal.jsonl", first_line(b"hello"), "journal.jsonl", "line 1", "move it"),
    "journal with a line that is a list": resume(
        "journal.jsonl", first_line(b"[1]"), "journal.jsonl", "line 1", "move it"
    ),
    "journal with a line that lacks a key": resume(
        "journal.jsonl", first_line(b'{"n": 0}'), "journal.jsonl", "line 1", "move it"
    ),
    "journal that is no text": resume("journal.jsonl", lambda _c: b"\xff\x00\n" * 3, "journal.jsonl", "line 1", "move"),
    "empty journal": resume("journal.jsonl", empty, "journal.jsonl"),
}


# ---- Experiment files


def experiment(content, *named):
    return Row(("run", "x.yaml"), ("x.yaml", *named), written("x.yaml", content))


LAUGHS = b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10) if n else b"lol") for n in range(12)
)
FILE = "experiments/learnpytorch.yaml"
EXPERIMENTS = {
    "YAML tag that runs code": experiment(b'runs: !!python/object/apply:os.system ["touch marker"]', "os.system", FILE),
    "YAML tag of one's own": experiment(b"runs: [!model linear]", "!model", FILE),
    "YAML with a NUL": experiment(b"runs:\0", "not YAML", FILE),
    "YAML that is no text": experiment(b"\xff\xfe\xfa", "not YAML", FILE),
    "YAML that is an image": experiment(picture("PNG"), "not YAML", FILE),
    "YAML nested too deep": experiment(b"[" * 5000, "not YAML", FILE),
    "YAML that swells": experiment(LAUGHS + b"runs: *a11", "unknown key 'a0'"),
    "YAML with a date that there is not": experiment(b"runs: [{model: linear, epochs: 2024-13-45}]", "not YAML", FILE),
    "empty YAML": experiment(b"", "a mapping is wanted", "runs"),
    "YAML that is a word": experiment(b"tinyvgg", "a mapping is wanted", "'tinyvgg'"),
    "YAML without runs": experiment(b"experiment: first", "asks for no runs", "list some"),
    "experiment's name that is a list": experiment(b"experiment: [a]\nruns: [{model: linear}]", "`experiment` is text"),
    "plot that is a number": experiment(b"plot: 3\nruns: [{model: linear}]", "`plot` is text"),
    "plot with a NUL in its name": experiment(b'plot: "a\\0.png"\nruns: [{model: linear}]', "`plot` is text"),
    "run's name with line ends": experiment(b'runs: [{model: linear, name: "a\\nb"}]', "run 1", "`name` is text"),
    "run that is a word": experiment(b"runs: [linear]", "run 1", "'linear'", "valid keys"),
    "runs that are a mapping": experiment(b"runs: {model: linear}", "`runs` is a list", "dash"),
    "model that is a number": Row(
        ("run", "x.yaml"), ("unknown model: '3'", "valid: linear"), written("x.yaml", b"runs: [{model: 3}]")
    ),
    "model that is not registered": Row(
        ("run", "x.yaml"), ("linaer", "did you mean 'linear'"), written("x.yaml", b"runs: [{model: linaer}]")
    ),
    "file that names code": Row(
        ("run", "x.yaml"),
        ("os:system", "--model os:system"),
        written("x.yaml", b"runs: [{model: 'os:system', dataset: digits}]"),
    ),
    "model argument that is a list": experiment(b"runs: [{model: mlp, model_args: {output_relu: [1]}}]", "--model-arg"),
    "epochs that are true": experiment(b"runs: [{model: linear, epochs: yes}]", "expected an integer, got true"),
    "fraction of an epoch": experiment(b"runs: [{model: linear, epochs: 1.5}]", "--epochs 1.5"),
    "endless rate": experiment(b"runs: [{model: linear, lr: .inf}]", "--lr inf"),
    "seed too large": experiment(b"runs: [{model: linear, seed: 1e40}]", "--seed"),
    "grid of too many runs": experiment(
        b"grid: {model: [linear], "
        + b", ".join(
            b"%s: %s" % (key, json.dumps(list(range(1, 100))).encode()) for key in (b"epochs", b"seed", b"limit")
        )
        + b"}",
        "970,299 runs",
        "1,000",
    ),
    "defaults that are a list": experiment(b"defaults: []\nruns: [{model: linear}]", "defaults", "a mapping is wanted"),
    "third run on a device that is not here": Row(
        ("run", "x.yaml"),
        ("cuda:99",),
        written(
            "x.yaml",
            b"defaults: {dataset: digits}\nruns: [{model: linear, seed: 91}, {model: linear, device: 'cuda:99'}]",
        ),
    ),
    "experiment that is drawn to nowhere": Row(
        ("run", "x.yaml"),
        ("/proc/nowhere/x.png", "another folder"),
        written("x.yaml", b"plot: /proc/nowhere/x.png\nruns: [{model: linear, dataset: digits, seed: 92}]"),
    ),
    "experiment that is drawn as a document": Row(
        ("run", "x.yaml", "--plot", "x.docx"),
        ("x.docx", ".png"),
        written("x.yaml", b"runs: [{model: linear, dataset: digits, seed: 92}]"),
    ),
    "folder as an experiment": Row(("run", "x.yaml"), ("x.yaml", "not a file"), folder_at("x.yaml")),
    "device as an experiment": Row(("run", "/dev/zero"), ("/dev/zero", "not a file")),
}

FLAGS = {
    "number that is no number": Row((*TRAIN, "--epochs", "1e3"), ("1e3", "--help")),
    "batch too large for a number": Row((*TRAIN, "--batch-size", "9" * 30), ("999", "--help")),
    "endless learning rate": Row((*TRAIN, "--lr", "inf"), ("--lr inf", "--help")),
    "negative log interval": Row((*TRAIN, "--log-every", "-1"), ("--log-every -1", "--help")),
    "negative checkpoint interval": Row((*TRAIN, "--checkpoint-every", "-1"), ("--checkpoint-every -1", "--help")),
    "minutes that are nan": Row((*TRAIN, "--checkpoint-minutes", "nan"), ("--checkpoint-minutes nan", "--help")),
    "no checkpoint to keep": Row((*TRAIN, "--keep", "0"), ("--keep 0", "--help")),
    "seed beyond 64 bits": Row((*TRAIN, "--seed", str(2**64)), (str(2**64), "--help")),
    "more threads than any machine has": Row((*TRAIN, "--threads", "100000"), ("--threads 100000", "--help")),
    "wide beyond measure": Row((*TRAIN, "--hidden-units", "1000000"), ("--hidden-units 1000000", "--help")),
    "model with a path to a file": Row(("train", "../nets.py:net"), ("../nets.py:net", "valid")),
    "schedule that does not exist": Row((*TRAIN, "--schedule", "cosin"), ("--schedule cosin", "one-cycle", "--help")),
    "warm-up as long as the training": Row((*TRAIN, "--warmup-epochs", "3"), ("--warmup-epochs 3.0", "too late")),
    "warm-up of nan epochs": Row((*TRAIN, "--warmup-epochs", "nan"), ("--warmup-epochs nan", "--help")),
    "cut after the last epoch": Row((*TRAIN, "--schedule", "step"), ("--lr-step-epochs 10", "too late")),
    "plateau without validation": Row(
        (*TRAIN, "--epochs", "20", "--schedule", "plateau", "--val-split", "0"), ("--schedule plateau", "--val-split")
    ),
    "factor without cuts": Row((*TRAIN, "--schedule", "cosine", "--lr-factor", "0.5"), ("--lr-factor 0.5", "cosine")),
    "factor above one": Row((*TRAIN, "--schedule", "step", "--lr-factor", "2"), ("--lr-factor 2", "--help")),
    "decay of what is not decayed": Row((*TRAIN, "--decay", "matrices"), ("--decay matrices", "--weight-decay")),
    "decay of something else": Row((*TRAIN, "--decay", "biases"), ("--decay biases", "--help")),
    "labels smoothed away": Row((*TRAIN, "--label-smoothing", "1"), ("--label-smoothing 1", "--help")),
    "weights of classes as a number": Row((*TRAIN, "--class-weights", "2"), ("--class-weights 2", "balanced")),
    "sampler that does not exist": Row((*TRAIN, "--sampler", "random"), ("--sampler random", "balanced")),
    "gradients clipped to nothing": Row((*TRAIN, "--clip-norm", "0"), ("--clip-norm 0", "--help")),
    "nothing to accumulate": Row((*TRAIN, "--accumulate", "0"), ("--accumulate 0", "--help")),
    "average that never moves": Row((*TRAIN, "--ema", "1"), ("--ema 1", "--help")),
    "average of nan": Row((*TRAIN, "--ema", "nan"), ("--ema nan", "--help")),
    "precision that does not exist": Row((*TRAIN, "--precision", "fp8"), ("--precision fp8", "bf16")),
    "layout that does not exist": Row((*TRAIN, "--channels-last", "yes"), ("--channels-last yes", "never")),
    "no patience": Row((*TRAIN, "--early-stop", "0"), ("--early-stop 0", "--help")),
    "early stop without validation": Row(
        (*TRAIN, "--early-stop", "2", "--val-split", "0"), ("--early-stop 2", "--val-split")
    ),
    "best epoch without validation": Row((*TRAIN, "--keep-best", "--val-split", "0"), ("--keep-best", "--val-split")),
    "compiled and captured": Row((*TRAIN, "--compile", "--step", "captured"), ("--compile true", "--step captured")),
    "two rehearsals": Row((*TRAIN, "--smoke", "--lr-find"), ("--smoke", "--lr-find")),
    "rehearsal of seeds": Row((*TRAIN, "--smoke", "--seeds", "3"), ("--seeds", "--smoke")),
    "rehearsal of a run": Row((*RESUME, "--overfit-batch"), ("--overfit-batch", "--resume")),
    "very long value": Row((*TRAIN, "--optimizer", "z" * 10_000), ("--optimizer zzz", "--help")),
}


# ---- Stores


def at(kind):
    """The address of a server that answers so, for the row's length."""
    return Row(("compare",), (f"HTTP status {kind[:3]}",), variables=(("ANSWER", kind),))


def database(content):
    def prepare(_bench):
        Path("store.db").write_bytes(content)
        return f"sqlite:///{Path('store.db').absolute()}"

    return prepare


def of_mlflow(change):
    """A copy of the bench's database with something done to it."""

    def prepare(bench):
        shutil.copy(bench.folder / "mlflow.db", "store.db")
        change(Path("store.db"))
        return f"sqlite:///{Path('store.db').absolute()}"

    return prepare


def statement(sql):
    def change(file):
        connection = sqlite3.connect(file)
        connection.execute(sql)
        connection.commit()
        connection.close()

    return change


def uri(address):
    return lambda _bench: address


CHECK = "--tracking-uri"
STORES = {
    **{f"server that answers {kind} to compare": at(kind) for kind in ("401", "403", "403 empty", "404", "500")},
    **{
        f"server that answers {kind} to train": Row(
            (*TRAIN, "--epochs", "1"), (named, CHECK), variables=(("ANSWER", kind),)
        )
        for kind, named in {
            "403": "HTTP status 403",
            "500": "HTTP status 500",
            "html": "does not answer as it should",
            "number": "does not answer as it should",
            "nothing": "not as MLflow's server does",
        }.items()
    },
    **{
        f"server that answers {kind} to evaluate": Row(
            ("evaluate", "@last"), ("does not answer as it should", CHECK), variables=(("ANSWER", kind),)
        )
        for kind in ("html", "cut", "list", "number")
    },
    "server that is not there": Row(("compare",), ("connection refused", CHECK), uri("http://127.0.0.1:1")),
    "typo in the scheme": Row(TRAIN, ("htp://host:5000", "for example"), uri("htp://host:5000")),
    "one slash": Row(TRAIN, ("http:/host", "for example"), uri("http:/host")),
    "folder of the old file store": Row(TRAIN, ("file:///mlruns", "for example"), uri("file:///mlruns")),
    "two slashes for a database": Row(TRAIN, ("sqlite://x.db", "three slashes"), uri("sqlite://x.db")),
    "port that is none": Row(TRAIN, ("http://host:99999", "for example"), uri("http://host:99999")),
    "port of letters": Row(TRAIN, ("http://host:port", "for example"), uri("http://host:port")),
    "address without a host": Row(TRAIN, ("http://", "for example"), uri("http://")),
    "database without its driver": Row(
        TRAIN, ("postgresql://127.0.0.1:1/db", "pip install"), uri("postgresql://user:hush@127.0.0.1:1/db")
    ),
    "port of a database that is none": Row(TRAIN, ("postgresql://h:x/db",), uri("postgresql://h:x/db")),
    "password that is not encoded": Row(TRAIN, ("http://host:5000", "%2F"), uri("http://me:a/b@host:5000")),
    "database that is text": Row(TRAIN, ("store.db", "move it away"), database(b"hello")),
    "database cut short": Row(TRAIN, ("store.db",), of_mlflow(lambda file: os.truncate(file, 5000))),
    "database of rubbish": Row(("compare",), ("store.db",), database(b"SQLite format 3\x00" + b"rubbish" * 1000)),
    "database of a later MLflow": Row(
        TRAIN, ("store.db",), of_mlflow(statement("UPDATE alembic_version SET version_num = 'ffffffffffff'"))
    ),
    "database without a table": Row(TRAIN, ("store.db",), of_mlflow(statement("DROP TABLE experiments"))),
    "folder as a database": Row(
        TRAIN, ("store.db", "move it away"), lambda _bench: (Path("store.db").mkdir(), "sqlite:///store.db")[1]
    ),
    "experiment of a name with line ends": Row((*TRAIN, "--experiment", "a\nb"), ("'a\\nb'", "--experiment first")),
    "experiment's name too long": Row((*TRAIN, "--experiment", "e" * 1000), ("eee", "--experiment first")),
    "run's name too long": Row((*TRAIN, "--name", "n" * 1000), ("--name 'nnn", "--help")),
    "run's name with control characters": Row((*TRAIN, "--name", "\x1b[2J"), ("--name '\\x1b[2J'", "--help")),
    "run's name that is no text": Row((*TRAIN, "--name", os.fsdecode(b"\xff")), ("--name", "--help")),
}

OWN = own_images.rows(Row)
TABLE = {**DATASETS, **OWN, **PICTURES, **WEIGHTS, **RUNS, **CHECKPOINTS, **EXPERIMENTS, **FLAGS, **STORES}
AS_COMMANDS = (
    "idx file of another digest",
    "gzip file cut short",
    "bytes that are no text in a folder's name",
    "class with an escape in its name",
    "npz of pickled objects",
    "decompression bomb",
    "image with control characters in its name",
    "pipe as an image",
    "weights with a flipped bit",
    "card that names code",
    "run with another shape",
    "checkpoint with a flipped bit",
    "YAML tag that runs code",
    "typo in the scheme",
    "server that answers 403 to compare",
    "port of letters",
)


SLOW = ("server that answers 500 to train", "server that answers 500 to compare")
"""MLflow's client tries again for seconds."""


# ---- The bench


@pytest.fixture(scope="module")
def _bench(_lab, tmp_path_factory):
    from cvexp.config import run_config
    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.jobs import export, train
    from cvexp.jobs.export_plan import Wanted

    folder = tmp_path_factory.mktemp("bench")
    shutil.copy(_lab.folder / "mlflow.db", folder / "mlflow.db")
    settings = store_settings(f"sqlite:///{folder}/mlflow.db", "Default")
    linear = _lab.runs["linear"].run_id
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 2})
    resumable = train.run(config, settings, data_dir=folder, policy=CheckpointPolicy(keep=1), command=["cvexp"])
    sound = folder / "exported"
    for kind, suffix in (("state-dict", ".pt"), ("safetensors", ".safetensors")):
        export.run(linear, settings, data_dir=folder, wanted=Wanted(formats=(kind,), out=sound / f"m{suffix}"))
    _plant(settings, Path(_lab.runs["linear"].artifacts_uri.removeprefix("file://")) / "weights", folder)
    return Bench(folder, settings.tracking_uri, linear, resumable.run_id, sound)


def _plant(settings, weights_folder, folder):
    """Runs with damaged weights, and one that another tool logged."""
    client = open_store(settings, create=False).client
    tags = {"cvexp.version": "0", "cvexp.weights_sha256": sha256((weights_folder / "state_dict.pt").read_bytes())}
    for name, (damage, signed) in PLANTED.items():
        copied = folder / name / "weights"
        shutil.copytree(weights_folder, copied)
        file = copied / "state_dict.pt"
        content = file.read_bytes()
        file.unlink()
        if damage is not None:
            file.write_bytes(damage(content))
        if name == "planted-spec":
            os.truncate(copied / "model.json", 40)
        signature = {"cvexp.weights_sha256": sha256(file.read_bytes())} if signed else {}
        run = client.create_run("0", run_name=name, tags={**tags, **signature})
        client.log_param(run.info.run_id, "split_seed", "²" if name == "planted-split" else "42")
        client.log_artifacts(run.info.run_id, str(copied), "weights")
        client.set_terminated(run.info.run_id)
    client.set_terminated(client.create_run("0", run_name="foreign").info.run_id)


@pytest.fixture
def bench(_bench, tmp_path, monkeypatch):
    """The bench, an empty working folder, and no way out to the network; the resumable run is whole again after."""
    saved = tmp_path / "saved"
    shutil.copytree(_bench.run_folder, saved)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _bench.uri)
    monkeypatch.setattr("cvexp.data.idx.DEBIAN_DATASETS", tmp_path / "debian")
    monkeypatch.setattr("urllib.request.urlopen", _no_network)
    yield _bench
    shutil.rmtree(_bench.run_folder, ignore_errors=True)
    shutil.copytree(saved, _bench.run_folder)


def _no_network(*_arguments, **_keywords):
    raise urllib.error.URLError("no network in tests")


@pytest.fixture
def answered(bench, monkeypatch):
    """Prepare a row, and give the words to type."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def prepare(row):
            address = row.prepare(bench)
            if kind := dict(row.variables).get("ANSWER"):
                address = f"http://127.0.0.1:{stack.enter_context(answering(kind))}"
            if address is not None:
                monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            stand_ins = {"LINEAR": bench.linear, "RESUMABLE": bench.resumable}
            return tuple(stand_ins.get(word, word) for word in row.words)

        yield prepare


def runs_of(bench):
    return [(r.run_id, r.status) for r in search(open_store(store_settings(bench.uri, "Default"), create=False))]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TABLE])
def test_bad_input_is_explained_at_once_and_leaves_no_run(name, cvexp, bench, answered):
    row = TABLE[name]
    words = answered(row)
    before, files = runs_of(bench), sorted(bench.folder.glob(".cvexp/runs/*"))
    start = time.monotonic()
    refused = cvexp(*words)
    seconds = time.monotonic() - start
    check_refusal(refused.code, refused.stdout, refused.stderr, *row.named)
    assert seconds < SECONDS
    assert runs_of(bench) == before
    assert "RUNNING" not in dict(before).values()
    assert sorted(bench.folder.glob(".cvexp/runs/*")) == files
    assert not list(Path().glob(".cvexp/runs/*"))
    assert not Path("marker").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", AS_COMMANDS)
def test_the_command_itself_answers_likewise(name, bench, answered):
    row = TABLE[name]
    done = subprocess.run(
        [sys.executable, "-m", "cvexp", *answered(row)], capture_output=True, text=True, check=False, timeout=60
    )
    check_refusal(done.returncode, done.stdout, done.stderr, *row.named)
    assert not list(Path().glob(".cvexp/runs/*"))
    assert not Path("marker").exists()


def read_only_database(bench):
    database(b"")(bench)
    shutil.copy(bench.folder / "mlflow.db", "store.db")
    Path("store.db").chmod(0o444)
    return f"sqlite:///{Path('store.db').absolute()}"


def read_only_folder(_bench):
    Path("closed").mkdir(mode=0o555)
    return "sqlite:///closed/store.db"


def unreadable(name, content):
    def prepare(bench):
        written(name, content)(bench)
        Path(name).chmod(0)

    return prepare


PERMISSIONS = {
    "read-only database": Row(TRAIN, ("store.db is not writable", "permissions"), read_only_database),
    "read-only folder": Row(TRAIN, ("cannot create", "closed", CHECK), read_only_folder),
    "unreadable database": Row(("compare",), ("store.db", "permissions"), unreadable("store.db", b"x")),
    "unreadable image": Row(("predict", "LINEAR", "x.png"), ("x.png", "not readable"), unreadable("x.png", b"x")),
    "unreadable experiment": Row(("run", "x.yaml"), ("x.yaml", "not readable"), unreadable("x.yaml", b"x")),
    "unreadable folder of images": Row(
        ("train", "linear", "--dataset", "./own"), ("own/train/a", "Permission denied"), own_images.unreadable_folder
    ),
    "unreadable idx file": Row(FASHION, (IMAGES, "permissions"), idx(lambda path: (path.touch(), path.chmod(0)))),
}


def obey_permissions():
    """Give up, before the command starts, root's right to read and write whatever it likes."""
    drop, override, read_search = 24, 1, 2
    for capability in (override, read_search):
        ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PERMISSIONS)
def test_what_may_not_be_read_or_written_is_named(name, bench, answered, monkeypatch):
    row = PERMISSIONS[name]
    words = answered(row)
    if name == "unreadable database":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///store.db")
    before = runs_of(bench)
    done = subprocess.run(
        [sys.executable, "-m", "cvexp", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=obey_permissions,
    )
    check_refusal(done.returncode, done.stdout, done.stderr, *row.named)
    assert runs_of(bench) == before


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60
    assert len(AS_COMMANDS) >= 12
    assert set(AS_COMMANDS) <= set(TABLE)
