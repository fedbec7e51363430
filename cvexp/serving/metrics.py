"""What the service counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvexp.serving.served import Served

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service, in a registry of their own; `n_waiting` gives the images that wait for the model."""

    def __init__(self, *, n_waiting: Callable[[], int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self._requests = Counter("cvexp_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self._seconds = Histogram(
            "cvexp_request_seconds",
            "From the first byte of a request to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch = Histogram(
            "cvexp_batch_images", "Images of a forward pass.", buckets=_IMAGES, registry=self.registry
        )
        self._forward = Histogram(
            "cvexp_forward_seconds", "Seconds of a forward pass.", buckets=_SECONDS, registry=self.registry
        )
        waiting = Gauge("cvexp_waiting_images", "Images that wait for a forward pass.", registry=self.registry)
        waiting.set_function(n_waiting)
        self._model = Gauge(
            "cvexp_model_info", "The model that is served.", ["name", "run_id", "version"], registry=self.registry
        )
        self._swaps = Counter("cvexp_model_swaps", "Times that another model took over.", registry=self.registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, n_images: int, seconds: float) -> None:
        """Count a forward pass; any thread may call it."""
        self._batch.observe(n_images)
        self._forward.observe(seconds)

    def model(self, served: Served, *, is_swap: bool) -> None:
        """Say which model is served from now on."""
        self._model.clear()
        self._model.labels(served.name, served.run_id, served.version).set(1)
        if is_swap:
            self._swaps.inc()

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
