"""What a run is asked to do: one frozen dataclass per component, from whose fields everything else follows.

A training option is one annotated field of one component; see `cvexp.config.option`. The modules of components do
without `from __future__ import annotations`, since their annotations are read.
"""

from cvexp.config.model import ModelArg
from cvexp.config.run import RunConfig, run_config

__all__ = ["ModelArg", "RunConfig", "run_config"]
