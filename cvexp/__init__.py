"""Train small image classifiers, track every run in MLflow, and find out which one to ship.

`from cvexp import train, train_seeds, load_model, compare, history` are the verbs as functions; nothing is loaded until
their use.
"""

import sys

# `python -m cvexp` puts the working folder first on the path, and a file that somebody left there would be imported in
# place of a library's. This comes before every import, so `from __future__` has to stay out of this file; the rest of
# cvexp is found through the package, also where it lies in the working folder.
if (
    sys.argv[:1] == ["-m"]  # as long as Python looks for the module
    and sys.orig_argv[-len(sys.argv)].partition(".")[0] in ("cvexp", "-mcvexp")
    and not sys.flags.safe_path
):
    del sys.path[0]

from typing import TYPE_CHECKING, Any

from cvexp import settings

if TYPE_CHECKING:
    from cvexp.jobs.api import compare, history, load_model, train, train_seeds

__all__ = ["__version__", "compare", "history", "load_model", "train", "train_seeds"]


__version__ = settings.VERSION


def __getattr__(name: str) -> Any:
    """Import a verb when it is first asked for."""
    if name not in __all__[1:]:
        raise AttributeError(f"module 'cvexp' has no attribute {name!r}")
    from cvexp.jobs import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """The names one can ask for."""
    return sorted([*globals(), *__all__])
