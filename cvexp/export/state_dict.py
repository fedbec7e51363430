"""torch's own file, read with `weights_only`."""

from __future__ import annotations

from cvexp import checkpoint
from cvexp.export.weights import WeightsExporter

EXPORTER = WeightsExporter(encode=checkpoint.serialised, decode=checkpoint.parsed)
