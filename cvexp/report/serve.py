"""What `cvexp serve` says."""

from cvexp.errors import CvexpError
from cvexp.jobs.serve import Events, Serving
from cvexp.jobs.serve_image import ImageFolder
from cvexp.report.terminal import hint, say


def exporting(selector: str) -> None:
    """Say that an export comes first."""
    hint(f"{selector} is exported to ONNX first; that loads torch")


def _ready(serving: Serving) -> None:
    say(serving.link)
    version = f", {serving.version}" if serving.version else ""
    hint(f"{serving.name}{version}; requests {'bring the token' if serving.needs_token else 'need no token'}")
    hint(f"curl -F image=@IMAGE {serving.link}/predict" if not serving.needs_token else None)
    hint("Ctrl-C ends it")


def _trouble(error: CvexpError) -> None:
    hint(f"the model could not be looked up, and stays as it is: {' '.join(error.lines()[0].split())}")


EVENTS = Events(
    exporting=exporting,
    ready=_ready,
    swapped=lambda name: hint(f"now serving {name}"),
    trouble=_trouble,
    draining=lambda: hint("no new requests; those under way are answered"),
    ended=lambda: hint("ended"),
)


def show_image(folder: ImageFolder) -> None:
    """Say where the definition is, what it pins, and what to type next."""
    say(folder.path / "Dockerfile")
    hint(f"{folder.name}: {folder.n_bytes:,} bytes in {folder.n_files} files, {folder.n_pins} packages pinned")
    hint(f"next     docker build -t {folder.tag} {folder.path}")
    hint(f"next     docker run -e CVEXP_SERVE_TOKEN -p 127.0.0.1:8000:8000 {folder.tag}")
