"""What an image that serves a model is built from: its definition, pinned packages, the ONNX file, the code."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import shlex
import shutil
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError
from cvexp.serving.served import load
from cvexp.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.jobs.serve_source import Source
    from cvexp.serving.limits import Limits
    from cvexp.serving.served import Served
    from cvexp.settings import StoreSettings

PACKAGE = Path(__file__).parents[1]
CODE = (
    "__init__.py",
    "addresses.py",
    "errors.py",
    "redaction.py",
    "settings.py",
    "text.py",
    "data/__init__.py",
    "data/fitting.py",
    "data/images.py",
    "data/resize.py",
    "inference/__init__.py",
    "inference/batches.py",
    "inference/onnx_*.py",
    "inference/signature.py",
    "serving/*",
)
"""All that `python -m cvexp.serving` imports of cvexp; the rest needs torch and MLflow."""

REQUIRED = ("onnx", "onnxruntime", "numpy", "pillow", "starlette", "uvicorn", "httptools", "uvloop", "python-multipart",
            "prometheus-client")  # fmt: skip
BASE = f"python:{platform.python_version()}-slim"
PORT = 8000
_DEFINITION = """\
# {name}, run {run_id}: an image classifier over HTTP, written by `cvexp serve --dockerfile`.
#   docker build -t {tag} {folder}
#   docker run -e CVEXP_SERVE_TOKEN -p 127.0.0.1:{port}:{port} {tag}
FROM {base}
WORKDIR /srv
COPY requirements.txt .
# Every package by its exact version, and no other.
RUN pip install --no-cache-dir --no-deps --requirement requirements.txt
COPY . .
USER 10001:10001
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \\
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}/health', timeout=2)"]
ENTRYPOINT ["python", "-m", "cvexp.serving", "model.onnx", "--host", "0.0.0.0", "--port", "{port}"]
CMD {arguments}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFolder:
    """What was written: the folder, what is in it, and a name for the image."""

    path: Path
    name: str
    tag: str
    n_files: int
    n_bytes: int
    n_pins: int


def write(
    selector: str,
    settings: StoreSettings,
    folder: Path,
    *,
    limits: Limits,
    on_export: Callable[[str], None],
    trusted_factory: str | None = None,
) -> ImageFolder:
    """Write to `folder`, which must not exist or be empty, what `docker build` takes.

    `selector` and `trusted_factory` are as in `cvexp.jobs.serve.run`; `limits` become arguments of the server.

    Raises:
        InputError: The model or the folder cannot be used.
    """
    from cvexp.jobs.serve_source import Source

    source = Source(selector, settings, n_threads=1, trusted_factory=trusted_factory)
    if not source.is_onnx:
        on_export(selector)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"--dockerfile {folder}: the folder is not empty", "name a new one")
        file = folder / "model.onnx"
        served = asyncio.run(_put_model(source, file))
        for one in _code():
            target = folder / "cvexp" / one.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one, target)
        pins = pinned(REQUIRED)
        (folder / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        tag = re.sub(r"[^a-z0-9]+", "-", Path(served.name).stem.lower()).strip("-") or "model"
        definition = _DEFINITION.format(
            name=clean(served.name),
            run_id=clean(served.run_id) or "unknown",
            tag=tag,
            folder=shlex.quote(str(folder)),
            base=BASE,
            port=PORT,
            arguments=json.dumps(arguments(limits)),
        )
        (folder / "Dockerfile").write_text(definition, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}", "name another folder") from error
    files = [path for path in folder.rglob("*") if path.is_file()]
    n_bytes = sum(path.stat().st_size for path in files)
    return ImageFolder(path=folder, name=served.name, tag=tag, n_files=len(files), n_bytes=n_bytes, n_pins=len(pins))


async def _put_model(source: Source, file: Path) -> Served:
    """The model in `file` and its card beside it, once the model has answered an image."""
    if source.is_onnx:
        path, name = Path(source.selector), source.selector
        for one, target in ((path, file), (_card(path), _card(file))):
            if one.exists():
                shutil.copyfile(one, target)
    else:
        async with source.worker() as worker:
            path, name = await source.write(worker, file.parent)
        path.rename(file)
        _card(path).rename(_card(file))
    return load(file, name=name, n_threads=1)


def _card(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _code() -> list[Path]:
    return [path for pattern in CODE for path in sorted(PACKAGE.glob(pattern)) if path.is_file()]


def arguments(limits: Limits) -> list[str]:
    """The limits as `python -m cvexp.serving` takes them."""
    names = ("max_batch", "max_wait_ms", "max_bytes", "timeout")
    return [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(limits, name)))]


def pinned(names: Sequence[str]) -> list[str]:
    """`NAME==VERSION`, as installed here, of these packages and all that they need."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found[name] = version(name)
        needed = [Requirement(text) for text in requires(name) or ()]
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return sorted(f"{name}=={found[name].partition('+')[0]}" for name in found)
