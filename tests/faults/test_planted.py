"""Files that somebody left in the working folder: no command imports them, but for a factory that the user typed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.faults import killing

pytestmark = pytest.mark.slow

AS_SCRIPT = ["-P", "-c", "from cvexp.__main__ import main; main()"]
"""What the console script does; like a script, it does not put the working folder on the path."""

AS_MODULE = ["-m", "cvexp"]
MODULES = ("orjson", "chardet", "simplejson", "dataclasses", "flask", "uvloop", "cvexp_planted")


@pytest.fixture
def folder(tmp_path):
    """A working folder with modules, and a package's metadata, that somebody else put there."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'a').write('{name} ')\n")
    info = folder / "planted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    points = "[cvexp.datasets]\nplanted = cvexp_planted:SPEC\n\n[cvexp.models]\nplanted = cvexp_planted:factory\n"
    (info / "entry_points.txt").write_text(points)
    return folder


def run(words, folder, *, how=AS_SCRIPT, **env):
    """The command as a process of its own: its exit code, stdout and stderr."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *how, *words],
        cwd=folder,
        env={**inherited, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout, done.stderr


def imported(folder):
    """Which of the planted modules were."""
    marker = folder.parent / "marker"
    return marker.read_text().split() if marker.exists() else []


def test_the_planted_modules_would_be_imported_where_the_folder_is_searched(folder):
    subprocess.run([sys.executable, "-c", "import orjson, dataclasses"], cwd=folder, check=True)
    assert imported(folder) == ["orjson", "dataclasses"]


@pytest.mark.parametrize(
    "how", [pytest.param(AS_SCRIPT, marks=pytest.mark.campaign), AS_MODULE], ids=["script", "module"]
)
@pytest.mark.parametrize("words", [["data"], ["models"], ["models", "planted"], ["train", "planted"]], ids=" ".join)
def test_a_plug_in_that_lies_in_the_working_folder_is_not_loaded(words, how, folder):
    code, out, err = run(words, folder, how=how)
    assert imported(folder) == []
    assert "planted" not in out
    if "planted" in words:
        assert code == 2
        assert "unknown model: 'planted'" in err
    else:
        assert code == 0


@pytest.mark.parametrize("how", [AS_SCRIPT, AS_MODULE], ids=["script", "module"])
def test_comparing_imports_no_module_of_the_working_folder(how, lab, folder):
    code, out, err = run(["compare", "--tracking-uri", lab.settings.tracking_uri], folder, how=how)
    assert code == 0, err
    assert "linear" in out
    assert imported(folder) == []


@pytest.mark.slow
def test_training_imports_no_module_of_the_working_folder(folder):
    code, _, err = run(["train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu"], folder)
    assert code == 0, err
    assert imported(folder) == []


def test_completing_a_word_imports_no_module_of_the_working_folder(folder):
    for typed in ("cvexp train ", "cvexp train linear --dataset "):
        asked = {"_CVEXP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()))}
        _, out, _ = run([], folder, **asked)
        assert "linear" in out or "mnist" in out
        assert "planted" not in out
    assert imported(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "python_path", [None, *(pytest.param(path, marks=pytest.mark.campaign) for path in ("", ".")), "HERE"]
)
def test_the_pages_import_no_module_of_the_working_folder(python_path, lab, folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # cvexp itself is told to leave the folder alone; its server is to do so without being told.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python_path is not None:
        inherited["PYTHONPATH"] = f"{str(folder) if python_path == 'HERE' else python_path}:{killing.ROOT}"
    tidy = "import os, sys; sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != os.getcwd()]; "
    words = ["ui", "--port", str(port), "--tracking-uri", lab.settings.tracking_uri]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", tidy + "from cvexp.__main__ import main; main()", *words],
        cwd=folder,
        env=inherited,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
            assert page.status == 200
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert imported(folder) == []


WIDE = """
from torch import nn
import shop_sizes


def wide(image_shape, n_classes, *, hidden_units=10):
    import shop_layers

    return shop_layers.stack(image_shape, n_classes, shop_sizes.width(hidden_units))
"""
LAYERS = """
from torch import nn


def stack(shape, n_classes, width):
    n = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(n, width), nn.ReLU(), nn.Linear(width, n_classes))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [pytest.param(AS_SCRIPT, marks=pytest.mark.campaign), AS_MODULE], ids=["script", "module"]
)
def test_a_factory_that_was_typed_finds_its_neighbours_and_nothing_else_does(how, folder):
    """Also the neighbours that it imports only when it is called."""
    (folder / "shop_nets.py").write_text(WIDE)
    (folder / "shop_sizes.py").write_text("def width(units):\n    return 3 * units\n")
    (folder / "shop_layers.py").write_text(LAYERS)
    words = ["train", "shop_nets:wide", "--dataset", "digits", "--epochs", "1", "--device", "cpu"]
    code, _, err = run(words, folder, how=how)
    assert code == 0, err
    # While the factory is imported the folder is searched, last of all, and torch is there already.
    assert not {"orjson", "chardet", "dataclasses", "flask"} & set(imported(folder))


@pytest.mark.slow
def test_a_factory_of_the_environment_does_not_bring_the_working_folder_in(folder):
    run(["models", "mlflow.server:get_app_client"], folder)
    assert imported(folder) == []


def test_cvexp_runs_from_a_checkout_that_is_not_installed():
    import typer

    packages = os.path.dirname(os.path.dirname(typer.__file__))  # noqa: PTH120 - for PYTHONPATH
    code, out, err = run(["--version"], killing.ROOT, how=["-S", "-m", "cvexp"], PYTHONPATH=packages)
    assert (code, out.split()[0]) == (0, "cvexp"), err
