"""Bad images of the user's own, as rows of the table in test_bad_input."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def _png(*, width=8, height=8):
    """A PNG of noise that says it is so large."""
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def folder(layout, *, then=lambda: None, content=None):
    """Files with an image each at the paths of `layout`; paths that end in `/` are empty folders."""

    def prepare(_bench):
        for name in layout:
            path = Path("own") / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png() if content is None else content)
        then()

    return prepare


SOUND = ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")


def link(path, target):
    return lambda: Path("own", path).symlink_to(target)


def thousands():
    for k in range(1001):
        Path(f"own/{k}").mkdir()
        Path(f"own/{k}/x.png").touch()


def csv(*lines, content=None):
    def prepare(bench):
        folder(("x/1.png", "x/2.png"))(bench)
        Path("own/list.csv").write_bytes("\n".join(lines).encode() if content is None else content)

    return prepare


def npz(**arrays):
    def prepare(_bench):
        np.savez("own.npz", **arrays)

    return prepare


def npz_that_says(shape, *, member="x_train.npy"):
    """An npz with an array of which only the header is there."""

    def prepare(_bench):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile("own.npz", "w") as archive:
            archive.writestr(member, header.getvalue())

    return prepare


def written(name, content):
    def prepare(_bench):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)

    return prepare


def unreadable_folder(bench):
    folder(SOUND)(bench)
    Path("own/train/a").chmod(0)


IMAGES = np.zeros((20, 8, 8), np.uint8)
TWO = np.arange(20) % 2
WANTED = "wanted:"


def rows(row):
    """The rows by name; `row` makes one of the command's words, what is named, and the preparation."""

    def train(name, *named, prepare=lambda _bench: None, words=()):
        return row(("train", "linear", "--dataset", name, *words), named, prepare)

    def own(*named, layout=SOUND, then=lambda: None, content=None, words=()):
        return train("./own", *named, prepare=folder(layout, then=then, content=content), words=words)

    head = "path,label,split"
    return {
        "folder that is not there": train("./own", "there is no folder own", "--data-dir"),
        "folder that is a file": train("./own", "cannot read own", "directory", prepare=written("own", b"")),
        "word that is no dataset and no folder": train("fashion", "unknown dataset: 'fashion'", "or name a folder"),
        "empty folder": own("is empty", WANTED, layout=("./",)),
        "folder of hidden files": own("is empty", layout=(".git/x.png",)),
        "folder of text": own("is empty", layout=("notes.txt", "more.md")),
        "training folder without a test folder": own("has no folder test", "own/train", layout=SOUND[:2]),
        "test folder without a training folder": own("has no folder train", layout=SOUND[2:]),
        "empty training folder": own("is empty", "own/train", layout=("train/", *SOUND[2:])),
        "images in no class": own("own/train/x.png is in no class's folder", layout=(*SOUND, "train/x.png")),
        "empty class": own("class c is empty: own/train/c", layout=(*SOUND, "train/c/")),
        "class of other files": own("class c is empty", layout=(*SOUND, "train/c/notes.txt")),
        "one class": own("one class, a", layout=("train/a/1.png", "test/a/1.png")),
        "one class in one folder": own("one class, a", layout=("a/1.png", "a/2.png")),
        "class of one image": own("class b has one image", layout=("a/1.png", "a/2.png", "b/1.png")),
        "class in test only": own("class c has no training image, only in test", layout=(*SOUND, "test/c/1.png")),
        "thousands of classes": own("1,001 classes, and 1,000 is the most", layout=("./",), then=thousands),
        "class with a line end in its name": own("class 'c\\nd'", "printable", layout=(*SOUND, "train/c\nd/1.png")),
        "class with an escape in its name": own("class '\\x1b[2J'", layout=(*SOUND, "train/\x1b[2J/1.png")),
        "class that is no text": own("cannot be shown", layout=(*SOUND, os.fsdecode(b"train/\xff/1.png"))),
        "markup in a folder's name": train("./[red]x[/red]", "./[red]x[/red]", "there is no folder"),
        "class that is a link to itself": own("own/train/c", "symbolic links", then=link("train/c", "c")),
        "class that is a link to nothing": own("own/train/c is a link to nothing", then=link("train/c", "gone")),
        "link back to the folder": own("own/train/a/back is a link", then=link("train/a/back", "../..")),
        "images that are none": own("none of its 4 image files can be read", "not an image", content=b"GIF8?"),
        "bombs": own("none of its 4", "too large", content=_png(width=60_000, height=60_000)),
        "images cut short": own("none of its 4", "train/a/1.png", content=_png()[:60]),
        "size 0": own("--image-size 0", words=("--image-size", "0")),
        "size 100000": own("--image-size 100000", "2048", words=("--image-size", "100000")),
        "size of words": own("--image-size", "large", words=("--image-size", "large")),
        "way of resizing that is none": own("--resize", "crop", words=("--resize", "stretch")),
        "resizing without a size": train("digits", "--resize pad", "--image-size", words=("--resize", "pad")),
        "kind without a path": train("csv:", "a path is missing"),
        "line end in a path": train("a\nb", "a"),
        "CSV file that is not there": train("csv:own/list.csv", "there is no file own/list.csv"),
        "CSV file that is a folder": train("csv:own", "cannot read own", prepare=folder(("./",))),
        "CSV file that is binary": train("csv:own/list.csv", "not UTF-8", prepare=csv(content=_png())),
        "empty CSV file": train("csv:own/list.csv", "no column path", prepare=csv("")),
        "CSV file without lines": train("csv:own/list.csv", "lists no images", prepare=csv(head)),
        "CSV file without labels": train("csv:own/list.csv", "no column label", prepare=csv("path,class", "x/1.png,a")),
        "CSV file with an empty label": train(
            "csv:own/list.csv", "line 2: the label", prepare=csv(head, "x/1.png,,test")
        ),
        "CSV file with another split": train(
            "csv:own/list.csv", "unknown split 'dev'", "train, val", prepare=csv(head, "x/1.png,a,dev")
        ),
        "CSV file of missing files": train(
            "csv:own/list.csv",
            *("no such file: x/3.png and 1 more", "begin in the CSV file's folder"),
            prepare=csv(head, "x/3.png,a,train", "x/4.png,b,train", "x/1.png,a,test"),
        ),
        "CSV file that leaves its folder": train(
            "csv:own/list.csv", "'x/../../secret.png' leaves", prepare=csv(head, "x/../../secret.png,a,train")
        ),
        "CSV file of absolute paths": train("csv:own/list.csv", "leaves", prepare=csv(head, "/etc/passwd,a,train")),
        "npz of pickled objects": train(
            "npz:own.npz", "pickled objects", prepare=npz(x_train=np.array([{}]), y_train=TWO)
        ),
        "npz that is none": train("npz:own.npz", "no sound npz file", prepare=written("own.npz", b"PK no")),
        "npz larger than memory": train("npz:own.npz", "GiB of arrays", prepare=npz_that_says((10**9, 1000, 1000))),
        "npz cut short": train("npz:own.npz", "no sound npz file", prepare=npz_that_says((20, 8, 8))),
        "npz that leaves its folder": train(
            "npz:own.npz", "'../x_train.npy'", "no array", prepare=npz_that_says((1,), member="../x_train.npy")
        ),
        "npz without labels": train("npz:own.npz", "no training images", WANTED, prepare=npz(x_train=IMAGES)),
        "npz of floats": train("npz:own.npz", "float64", "uint8", prepare=npz(x=IMAGES / 255, y=TWO)),
        "npz of other counts": train(
            "npz:own.npz", "labels", prepare=npz(x=IMAGES[:15], y=TWO, x_test=IMAGES, y_test=TWO)
        ),
        "npz of vectors": train("npz:own.npz", "x is 20x64: no images", prepare=npz(x=IMAGES.reshape(20, 64), y=TWO)),
        "npz of millions of classes": train("npz:own.npz", "is the most", prepare=npz(x=IMAGES, y=TWO * 10**7)),
        "npz with negative labels": train(
            "npz:own.npz", "-1", prepare=npz(x=IMAGES, y=TWO - 1, x_test=IMAGES, y_test=TWO)
        ),
        "Hugging Face folder without data": train("hf:own", "no Parquet or Arrow file", prepare=folder(("./",))),
        "Hugging Face file that is damaged": train(
            "hf:own", "cannot read own/train.parquet", prepare=written("own/train.parquet", b"PAR1 no")
        ),
        "own images for evaluation that are not there": row(
            ("evaluate", "LINEAR", "--dataset", "./own"), ("there is no folder own",), lambda _bench: None
        ),
        "own images of other classes for evaluation": row(
            ("evaluate", "LINEAR", "--dataset", "./own"), ("classes",), folder(SOUND)
        ),
        "own images to look at": row(("data", "./own"), ("class c is empty",), folder((*SOUND, "train/c/"))),
    }
